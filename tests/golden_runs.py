#!/usr/bin/env python3
"""Runs sessions of whole commands and compares all that they print and write with what is recorded.
The same command gives the same bits on every machine, so a change of any output on these paths is
seen. It is deliberate, or it is a bug.

golden_runs.py PROGRAM [--update] [--whole FOLDER] [SESSION...]

A session is a file of tests/golden_runs/, run by bash in an empty folder, command by command:

    # A comment; this one runs another session first, in the same folder:
    # begins with: models
    $ a command
    > and its further lines
      | a line of its stdout
      ! a line of its stderr
      exit 1
      - folder/ files that it removed
      + folder/ files that it wrote and their digests, once in a session
      : a line of a short text file among them

What is indented is recorded, --update writes it anew. Of commands that do not name darkhorse
nothing is: they make inputs. --whole writes the sessions without digests in the place of long texts
into FOLDER: `diff -r` of what two programs do."""

import argparse
import difflib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "golden_runs"
LONGEST = 9000  # bytes of an output that is recorded as it is
LONGEST_FILE = 300  # of a file
LONGEST_LINES = 400  # of a file of JSON lines; of a longer one the last is told
SHOWN = 200  # of the last line of what is longer

# All that differs between two runs of a command, and what stands in its place. Each pattern names
# what is around the number, so that it hides no other.
RULES = [(re.compile(pattern, re.MULTILINE), instead) for pattern, instead in [
    # Status lines come by the clock, but the last of a loop always; all but its speed is kept.
    (r"^(?:step|problem|question|window) (\d+)/(?!\1 )\d+ · .*\n", ""),
    (r"^(?:(?:count|merge|\d\d? %) .*|\d+ tokens generated)\n", ""),
    (r"\bETA [\d:]+", "ETA …"),
    (r"\b[\d.]+[kMG]? (tokens|bytes|merges|GFLOP)/s( \(\d+ % of peak\))?", r"… \1/s"),
    (r"^(darkhorse: probe): .* tokens/s; at this speed .* and (.* of memory)", r"\1: … and \2"),
    (r'(_per_second"?:? *|"seconds\w*": ?)[\d.e+-]+', r"\1…"),
    # A digest of an adapter's folder, which names its base's path.
    (r'("best": ")[0-9a-f]{16}"', r'\1…"'),
    # Of the build.
    (r"\bdarkhorse \d+\.\d+\.\d+\S*", "darkhorse VERSION"),
]]
# A status line comes when it must and goes to the end.
STATUS = re.compile(rb"(step|problem|question|window) \d+/|\d+ % |count |merge ")
# Files of which only the name is recorded: times, pages with times in them (a session sets the times
# and makes those anew), and checksums of files that are recorded themselves.
UNREAD = ("timings.jsonl", "report.html", "checksums.json")


def digest(content):
    return hashlib.sha256(content).hexdigest()[:8]


class Player:
    """Plays sessions in folders of their own; what another begins with is played once."""

    def __init__(self, program, scratch, whole):
        self.scratch, self.whole, self.played = scratch, whole, {}
        (scratch / "bin").mkdir()
        (scratch / "bin/darkhorse").symlink_to(program.resolve())
        self.environment = {
            "PATH": f"{scratch}/bin:{HERE}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "HOME": str(scratch), "DARKHORSE_MEMORY": str(16 << 30),
            **{name: os.environ[name] for name in ["DARKHORSE_ISA"] if name in os.environ}}

    def play(self, name):
        """The session's text as its commands are now."""
        if name not in self.played:
            self.played[name] = self.play_first(name)
        return self.played[name]

    def play_first(self, name):
        folder = self.scratch / name
        lines, command, told = [], [], set()
        files = {}
        for line in [*(HERE / f"{name}.txt").read_text().splitlines(), ""]:
            if line.startswith("  "):
                continue
            if command and not line.startswith(">"):
                files = self.run("\n".join(command), folder, files, lines, told)
                command = []
            lines.append(line)
            if line.startswith("# begins with: "):
                self.play(line.removeprefix("# begins with: "))
                shutil.copytree(self.scratch / line.removeprefix("# begins with: "), folder)
                files = contents(folder)
            elif line.startswith(("$ ", ">")):
                command.append(line[2:])
        return "\n".join(lines[:-1]) + "\n"

    def run(self, command, folder, before, lines, told):
        """Adds what the command did to `lines`; the files that there are now."""
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=1200)
        files = contents(folder)
        if not re.search(r"darkhorse|\bserved\b", command):
            assert done.returncode == 0, f"{command}\n{done.stderr.decode()}"
            return files
        self.tell("|", *self.normal(done.stdout), lines)
        notes = sorted(done.stderr.splitlines(True), key=lambda line: bool(STATUS.match(line)))
        self.tell("!", *self.normal(b"".join(notes)), lines)
        if done.returncode != 0:
            lines.append(f"  exit {done.returncode}")
        for place in sorted({str(pathlib.Path(name).parent) for name in {*before, *files}}):
            self.tell_folder(place, before, files, lines, told)
        return files

    def tell_folder(self, place, before, files, lines, told):
        """What of a folder's own files is gone or new: one line of names and digests, then texts."""
        def own(names):
            return [name for name in names if str(pathlib.Path(name).parent) == place]
        names, texts = [], []
        for name in own(files):
            path = pathlib.Path(name)
            if before.get(name) == files[name]:
                continue
            if path.name in UNREAD:
                names.append(path.name)
                continue
            content, is_text = self.normal(files[name])
            if (path.name, content) in told:
                continue
            told.add((path.name, content))
            names.append(f"{path.name} {digest(content)}")
            if path.suffix == ".json":  # a line is enough
                content = re.sub(rb"\n *", b"", content)
            if is_text and (len(content) <= LONGEST_FILE or self.whole or path.suffix == ".jsonl"):
                texts.append(content)
        gone = [pathlib.Path(name).name for name in own(before) if name not in files]
        if len(gone) == len(own(before)):
            gone = ["all"] * bool(gone)
        lines += [f"  - {place}/ {', '.join(gone)}"] * bool(gone)
        lines += [f"  + {place}/ {', '.join(names)}"] * bool(names)
        for content in texts:
            self.tell(":", content, True, lines, LONGEST_LINES)

    def tell(self, mark, content, is_text, lines, longest=LONGEST):
        text = content.decode().splitlines() if is_text else []
        if not is_text:
            text = [f"… {len(content)} bytes {digest(content)}"]
        elif len(content) > longest and not self.whole:
            text = [f"… {len(text)} lines {digest(content)}, the last: {text[-1][:SHOWN]}"]
        lines += [f"  {mark} {line}".rstrip() for line in text]
        if is_text and content and not content.endswith(b"\n") and mark != ":":
            lines.append(f"  {mark}… without a newline")

    def normal(self, content):
        """Without what differs between runs, where it is text; and whether it is."""
        if b"\0" in content:
            return content, False
        text = content.decode(errors="backslashreplace").replace(str(self.scratch), "SCRATCH")
        for pattern, instead in RULES:
            text = pattern.sub(instead, text)
        return text.encode(), True


def contents(folder):
    """Path in the folder -> content, of the files that there are."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("sessions", nargs="*")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--whole", type=pathlib.Path)
    asked = parser.parse_intermixed_args()
    differ = []
    memory = "/dev/shm"  # nothing has to reach a disk
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as scratch:
        player = Player(asked.program, pathlib.Path(scratch), asked.whole)
        for name in asked.sessions or sorted(path.stem for path in HERE.glob("*.txt")):
            path, now = HERE / f"{name}.txt", player.play(name)
            if asked.whole:
                asked.whole.mkdir(exist_ok=True)
                (asked.whole / path.name).write_text(now)
            elif asked.update:
                path.write_text(now)
            elif now != path.read_text():
                differ.append(name)
                sys.stdout.writelines(difflib.unified_diff(
                    path.read_text().splitlines(True), now.splitlines(True),
                    f"{name} as recorded", f"{name} now", n=1))
    if differ:
        sys.exit(f"not as recorded: {', '.join(differ)}; "
                 "docs/architecture.md, Recorded runs, says what to do")


if __name__ == "__main__":
    main()
