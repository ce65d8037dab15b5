#!/usr/bin/env python3
"""A reward in Python: `darkhorse reinforce own ... --reward "python3 examples/reward.py"`.

A line of JSON comes in for every completion: id, prompt, completion, answer (the row's), meta (the
row's other columns). A line goes out: the same id, and a score from 0 to 1. This one scores puzzles
like "make 10 from 2 3 4": 1 for an expression that makes the number out of just these, and a little
for one that comes near."""

import ast, json, operator, re, sys
from fractions import Fraction

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(node):
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    return OPERATORS[type(node.op)](value(node.left), value(node.right))


def score(prompt, completion):
    target, *numbers = map(int, re.findall(r"\d+", prompt))
    answer = re.fullmatch(r"<think>[^<]*</think>\s*<answer>([^<]*)</answer>\s*", completion)
    try:
        tree = ast.parse(answer[1].strip(), mode="eval").body
        used = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        if sorted(used) != sorted(numbers):
            return 0
        miss = abs(value(tree) - target)
    except Exception:  # no answer, no expression, no value
        return 0
    return 1 if miss == 0 else float(Fraction(3, 10) / (1 + miss))


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "score": score(request["prompt"], request["completion"])}), flush=True)
