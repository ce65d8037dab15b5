#!/usr/bin/env python3
"""A reward for code: the answer is Python, and its score the share of the row's unit tests that it
passes. `darkhorse reinforce own ... --reward "python3 examples/unit_tests_reward.py"`.

A row has a column "tests", a list of statements such as "assert double(2) == 4". Each runs after the
answer's code in a process of its own, limited in time, memory and files. darkhorse itself keeps this
program and all that it starts off the network and ends what is left of them. What it cannot do is make
code honest: the tests run in the same process as the code they test, so look at what your model writes."""

import json
import re
import resource
import secrets
import subprocess
import sys

SECONDS = 2  # of CPU time, so that a busy machine changes no score; sleeping ends after four times as long
MEMORY = 256 << 20
# The last line says that the test came to its end: an exit in the answer is no success. An answer that reads the word itself can cheat.
HARNESS = """
import sys
scope = {}
exec(sys.argv[1], scope)
exec(sys.argv[2], scope)
print(sys.stdin.readline(), end="")
"""


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def passes(code, test):
    word = secrets.token_hex(16)
    try:
        run = subprocess.run([sys.executable, "-I", "-S", "-c", HARNESS, code, test], input=word, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=4 * SECONDS,
                             preexec_fn=limit)
    except (subprocess.TimeoutExpired, ValueError, OSError):
        return False
    return run.returncode == 0 and run.stdout.endswith(word)


def score(completion, tests):
    answers = re.findall(r"<answer>(.*?)</answer>", completion.partition("</think>")[2], re.DOTALL)
    if not answers or len(answers[-1]) > 10000:
        return 0
    code = re.sub(r"^\s*```\w*\n|```\s*$", "", answers[-1]).strip("\n")
    return sum(passes(code, test) for test in tests) / len(tests)


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "score": score(request["completion"], request["meta"]["tests"])}),
          flush=True)
