#!/usr/bin/env python3
"""Any data set of reasoning-gym as problems and their verifier (pip install reasoning-gym).

    python3 examples/reasoning_gym_task.py make chain_sum --count 600 --set max_terms=3 > sums.jsonl
    darkhorse reinforce own --model MODEL --problems sums.jsonl --reward "python3 examples/reasoning_gym_task.py score"

A row keeps its data set's name and metadata, which the verifier gets back as `meta`; rows of several
data sets may lie in one file. The answer read is that between the last <answer> tags, within the last
\\boxed{}, or else the last line."""

import argparse, ast, json, re, sys

import reasoning_gym


def make(name, count, seed, settings):
    # What is no Python literal is text.
    def value(text):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    config = {key: value(text) for key, _, text in (setting.partition("=") for setting in settings)}
    for entry in reasoning_gym.create_dataset(name, size=count, seed=seed, **config):
        row = {"prompt": entry["question"], "answer": entry["answer"], "dataset": name, "metadata": entry["metadata"]}
        print(json.dumps(row, ensure_ascii=False, default=str))


def boxed(text):
    begin = text.rfind("\\boxed{")
    if begin < 0:
        return None
    begin += len("\\boxed{")
    depth = 1
    for at in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at]
    return None


def answer_of(completion):
    said = completion.rpartition("</think>")[2]
    tagged = re.findall(r"<answer>(.*?)</answer>", said, re.DOTALL)
    if tagged:
        return tagged[-1].strip()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (boxed(said) or (lines[-1] if lines else "")).strip()


def score():
    for line in sys.stdin:
        request = json.loads(line)
        meta = request["meta"]
        entry = {"question": request["prompt"].rstrip("\n"), "answer": request["answer"], "metadata": meta["metadata"]}
        answer = answer_of(request["completion"])
        worth = reasoning_gym.get_score_answer_fn(meta["dataset"])(answer, entry)
        reply = {"id": request["id"], "score": min(1.0, max(0.0, float(worth))), "answer": answer[:200]}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("score")
    maker = commands.add_parser("make")
    maker.add_argument("dataset")
    maker.add_argument("--count", type=int, default=500)
    maker.add_argument("--seed", type=int, default=1)
    maker.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the data set's configuration")
    arguments = parser.parse_args()
    if arguments.command == "score":
        score()
    else:
        make(arguments.dataset, arguments.count, arguments.seed, arguments.set)
