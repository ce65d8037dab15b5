#!/usr/bin/env python3
"""Commands and flags that README.md and docs/ tell exist: each is looked up in the program's --help.

docs_test.py PROGRAM"""

import functools
import pathlib
import re
import subprocess
import sys
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
ROOT = pathlib.Path(__file__).resolve().parent.parent


@functools.cache
def help_of(*words):
    run = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True, timeout=60, check=True)
    flags = set(re.findall(r"^ +(?:-h,)?(--[\w-]+)", run.stdout, re.M))
    listed = re.search(r"^Subcommands:\n((?:  .*\n?)*)", run.stdout, re.M)
    # A command such as `bench` takes words of its own, too, where none of its commands is named.
    words = re.search(r"^Positionals:", run.stdout, re.M) is not None
    return flags, re.findall(r"^  (\w+) ", listed[1], re.M) if listed else [], words


def commands_in(text):
    """What follows `darkhorse` in code: indented, fenced, or between backticks, there possibly over
    two lines. A pipe, a semicolon or && ends a command; what stands in quotes is another program's."""
    fence = re.compile(r"^```.*?^```", re.M | re.S)
    code = [line for block in fence.findall(text) for line in block.splitlines()]
    text = fence.sub("", text)
    code += re.findall(r"^(?:    |\t)(.*)$", text, re.M)
    code += [" ".join(span.split()) for paragraph in re.split(r"\n\s*\n|\n(?=    |\|)", text)
             for span in re.findall(r"`([^`]+)`", paragraph)]
    for line in code:
        line = re.sub(r"\"[^\"]*\"|'[^']*'", "QUOTED", line)
        yield from re.findall(r"(?<![\w.$-])(?:[\w.]*/)*darkhorse ((?:(?! \| |;|&&|#).)+)", line)


def problems_of(command):
    """What of a command line, the program's name left out, does not exist."""
    words = []
    for word in command.split():
        known = help_of(*words)[1]
        if not known:
            break
        if not re.fullmatch(r"[a-z]+", word):
            return []  # COMMAND, a version, a flag of the program itself
        if word == "help":
            return []
        if word not in known and help_of(*words)[2]:
            break
        if word not in known:
            return [f"no command '{' '.join([*words, word])}'"]
        words.append(word)
    flags = help_of(*words)[0]
    return [f"no flag {flag} of '{' '.join(words)}'" for flag in re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", command)
            if flag not in flags]


def rows_of_commands(readme):
    """README's table of commands: their lines, alternatives such as `train\\|encode` each on its own."""
    table = re.search(r"^\| command \|.*\n\|[-|]+\n((?:\|.*\n)+)", readme, re.M)[1]
    for row in re.findall(r"^\| `([^`]+)`", table, re.M):
        parts = row.replace(r"\|", "|").split()
        alternatives = next((part for part in parts[:2] if re.fullmatch(r"[a-z]+(\|[a-z]+)+", part)), None)
        for choice in alternatives.split("|") if alternatives else [None]:
            yield " ".join(choice if part is alternatives else part for part in parts)


class Documents(unittest.TestCase):
    def test_the_commands_that_documents_tell_exist(self):
        told = 0
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            if path.name == "LOG.md":  # what was run once
                continue
            for command in commands_in(path.read_text()):
                told += 1
                with self.subTest(file=path.name, command=command):
                    self.assertEqual(problems_of(command), [])
        self.assertGreater(told, 30)

    def test_the_table_of_commands_is_whole(self):
        rows = list(rows_of_commands((ROOT / "README.md").read_text()))
        for row in rows:
            with self.subTest(row=row):
                self.assertEqual(problems_of(row), [])
        self.assertEqual(sorted({row.split()[0] for row in rows}), sorted(help_of()[1]))
        for command in help_of()[1]:
            for part in help_of(command)[1]:
                self.assertTrue(any(row.split()[:2] == [command, part] for row in rows), f"{command} {part}")


class Readers(unittest.TestCase):
    """What the tests above would see if a document were wrong."""

    def test_commands_are_found_wherever_code_stands(self):
        text = ("Say `darkhorse info\ntiny --json` or `build/darkhorse chat`; darkhorse run is prose.\n\n"
                "    darkhorse run tiny --out a | tee log; ./darkhorse info\n"
                "    X=1 darkhorse reinforce own --reward \"python3 a.py --fast\" --out b\n\n"
                "```\ndarkhorse bench m  # --not-a-flag\n```\n    darkhorse: error: --words\n"
                "    ls build-darkhorse x/darkhorse-y\n")
        self.assertEqual(sorted(command.strip() for command in commands_in(text)),
                         ["bench m", "chat", "info", "info tiny --json", "reinforce own --reward QUOTED --out b",
                          "run tiny --out a"])

    def test_what_does_not_exist_is_told(self):
        for command, problem in (("pretrain tiny --dta x", "no flag --dta of 'pretrain'"),
                                 ("tokenizer trian x", "no command 'tokenizer trian'"),
                                 ("infer --model x", "no command 'infer'"),
                                 ("evaluate --model DIR --data DIR|--tusk NAME", "no flag --tusk of 'evaluate'"),
                                 ("bench serve URL --round 2", "no flag --round of 'bench serve'"),
                                 ("pretrain R [--resum]", "no flag --resum of 'pretrain'")):
            self.assertEqual(problems_of(command), [problem])
        for command in ("pretrain R --data D [--resume] [--set a.b=c]", "COMMAND --help", "--version",
                        "help task show", "task show sum --index 3 --threads 2", "bench tiny --rounds 2",
                        "bench serve URL --clients 2"):
            self.assertEqual(problems_of(command), [])

    def test_rows_of_the_table_are_read_with_their_alternatives(self):
        readme = "| command | what |\n|---|---|\n| `task list\\|show` | x |\n| `info [R \\| --model D]` | y |\n\n"
        self.assertEqual(list(rows_of_commands(readme)), ["task list", "task show", "info [R | --model D]"])


if __name__ == "__main__":
    unittest.main()
