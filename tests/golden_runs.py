#!/usr/bin/env python3
"""Runs sessions of whole commands and compares all that they print and write with what is recorded.
The same command gives the same bits on every machine, so any change of output on these paths is
seen; it is deliberate, or it is a bug.

golden_runs.py PROGRAM [--update] [--whole FOLDER] [SESSION...]

A session is a file of tests/golden_runs/, run by bash in an empty folder, command by command:

    # A comment. The next line runs another session first, in the same folder.
    # begins with: models
    $ a command
    > and its further lines
      | a line of its stdout
      ! a line of its stderr
      exit 1
      + file 123 bytes 01234567  (its size and digest; a removed file's line begins with -)
      +| a line of a short text file

What is indented is recorded: --update writes it anew. Of commands that do not name `darkhorse`
nothing is: they make inputs. --whole writes the sessions with nothing shortened to a digest into
FOLDER, for a diff of what two programs do."""

import argparse
import difflib
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "golden_runs"
LONGEST = 1200  # bytes of a text that is recorded as it is

# All that differs between two runs of the same command: (pattern, what stands in its place). Each
# pattern names what surrounds the number, so that no other number is hidden.
RULES = [(re.compile(pattern), instead) for pattern, instead in [
    (r"\bdarkhorse \d+\.\d+\.\d+\S*", "darkhorse VERSION"),
]]
# Files that hold nothing but times.
OF_TIMES = ("timings.jsonl",)


def normal(text):
    for pattern, instead in RULES:
        text = pattern.sub(instead, text)
    return text


def digest(content):
    return hashlib.sha256(content).hexdigest()[:12]


class Transcript:
    """What one session's commands did, as its file has it."""

    def __init__(self, folder, longest):
        self.folder, self.longest, self.lines = folder, longest, []
        self.files = {}

    def tell(self, mark, content):
        """A text, or the digest of a long one or of what is none."""
        try:
            text = normal(content.decode())
        except UnicodeDecodeError:
            text = None
        if text is None or len(text.encode()) > self.longest:
            kind = "bytes" if text is None else f"{text.count(chr(10))} lines"
            self.lines.append(f"  {mark} … {kind} {digest(content if text is None else text.encode())}")
            return
        for line in text.splitlines():
            self.lines.append(f"  {mark} {line}".rstrip())
        if text and not text.endswith("\n"):
            self.lines.append(f"  {mark}\\")  # as diff's "no newline at end of file"

    def look(self):
        """Relative path -> content of the files there are."""
        return {str(path.relative_to(self.folder)): path.read_bytes()
                for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def run(self, command, environment):
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        before, self.files = self.files, self.look()
        if "darkhorse" not in command:
            if done.returncode != 0:
                sys.exit(f"{command}\n{done.stderr.decode()}")
            return
        self.tell("|", done.stdout)
        self.tell("!", done.stderr)
        if done.returncode != 0:
            self.lines.append(f"  exit {done.returncode}")
        self.lines += [f"  - {name}" for name in before if name not in self.files]
        for name, content in self.files.items():
            if before.get(name) == content:
                continue
            if pathlib.Path(name).name in OF_TIMES:
                self.lines.append(f"  + {name}")
                continue
            try:
                text = normal(content.decode())
            except UnicodeDecodeError:
                text = None
            shown = content if text is None else text.encode()
            self.lines.append(f"  + {name} {len(shown)} bytes {digest(shown)}")
            if text is not None and len(shown) <= self.longest:
                self.tell("+|", content)


def commands(text):
    """The session's lines without what is recorded; those of one command as one list."""
    for line in text.splitlines():
        if line.startswith("  "):
            continue
        yield line


def play(name, folder, environment, longest=LONGEST):
    """The session's text as its commands are now."""
    transcript = Transcript(folder, longest)
    pending = []

    def finish():
        if pending:
            transcript.run("\n".join(line[2:] for line in pending), environment)
            pending.clear()

    for line in commands((HERE / f"{name}.txt").read_text()):
        if not line.startswith(">"):
            finish()
        transcript.lines.append(line)
        if line.startswith("# begins with: "):
            play(line.removeprefix("# begins with: "), folder, environment)
            transcript.files = transcript.look()
        elif line.startswith(("$ ", ">")):
            pending.append(line)
    finish()
    return "\n".join(transcript.lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("sessions", nargs="*", default=sorted(path.stem for path in HERE.glob("*.txt")))
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--whole", type=pathlib.Path)
    asked = parser.parse_args()
    differ = []
    for name in asked.sessions:
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            for folder in ("bin", "work"):
                (scratch / folder).mkdir()
            (scratch / "bin/darkhorse").symlink_to(asked.program.resolve())
            environment = {"PATH": f"{scratch}/bin:{HERE}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8",
                           "TZ": "UTC", "HOME": str(scratch), "DARKHORSE_MEMORY": str(16 << 30)}
            environment |= {key: os.environ[key] for key in ["DARKHORSE_ISA"] if key in os.environ}
            now = play(name, scratch / "work", environment, 1 << 30 if asked.whole else LONGEST)
        path = HERE / f"{name}.txt"
        if asked.whole:
            asked.whole.mkdir(exist_ok=True)
            (asked.whole / path.name).write_text(now)
        elif asked.update:
            path.write_text(now)
        elif now != path.read_text():
            differ.append(name)
            sys.stdout.writelines(difflib.unified_diff(
                path.read_text().splitlines(True), now.splitlines(True), f"{name} recorded", f"{name} now", n=1))
    if differ:
        sys.exit(f"{', '.join(differ)}: not what is recorded. Meant? See CONTRIBUTING, then run with --update")


if __name__ == "__main__":
    main()
