#!/usr/bin/env python3
"""A world of one's own: words, reversed letter by letter. docs/from-zero.md trains a model on it.

    python3 examples/reverse_corpus.py runs/reverse

writes corpus.jsonl, the text to pretrain on, one document a line, and problems.jsonl, the problems
to reinforce on and to measure with. No word of a problem occurs in the text. The same seed gives the
same bytes."""

import argparse
import json
import pathlib
import random
import string

# About how often English uses a letter, so that letters repeat as they do in words.
WEIGHTS = [8, 2, 3, 4, 12, 2, 2, 5, 7, 1, 1, 4, 3, 7, 8, 2, 1, 6, 6, 9, 3, 1, 2, 1, 2, 1]
FINISHED = 0.3  # share of thoughts that go through to the end; the others give up on the way


def new_word(rng, used):
    while True:
        word = "".join(rng.choices(string.ascii_lowercase, WEIGHTS, k=rng.randint(4, 8)))
        if word not in used and word != word[::-1]:
            used.add(word)
            return word


def prompt(word):
    return f"reverse: {word}"


def document(rng, word):
    """The prompt, a newline, thoughts that move one letter a line, an answer: what is left and right
    after the last line. Complete thoughts leave nothing on the left."""
    last = len(word) if rng.random() < FINISHED else rng.randrange(len(word) - 1)
    lines = []
    for moved in range(1, last + 1):
        lines.append(word[:-moved] + " " + word[: -moved - 1 : -1])
    left, right = lines[-1].split(" ") if lines else (word, "")
    return f"{prompt(word)}\n<think>" + "\n".join(lines) + f"</think><answer>{right}{left}</answer>"


def write(path, rows):
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="where to write, made if it is not there")
    parser.add_argument("--documents", type=int, default=40000)
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    used = set()
    problems = [new_word(rng, used) for _ in range(options.problems)]
    write(options.folder / "problems.jsonl", ({"prompt": prompt(word), "answer": word[::-1]} for word in problems))
    write(options.folder / "corpus.jsonl",
          ({"text": document(rng, new_word(rng, used))} for _ in range(options.documents)))


if __name__ == "__main__":
    main()
