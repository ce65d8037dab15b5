"""What the check_* scripts share: finding files, reporting, and proving that a check can fail."""

import pathlib
import sys
import tempfile

CODE_FOLDERS = ("src", "tests", "bench", "fuzz")


def files(root, folders, suffixes):
    """Files below root/folder for each folder, sorted. A suffix of '' means any file."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.name.endswith(tuple(suffixes)):
                yield path


def main(find_problems, cases):
    """Runs `find_problems(root)`, which yields one line a problem, on this source tree, or on the
    tree named as argument; exit code 1 if there is any. With --self-test, runs it instead on made-up
    trees: `cases` lists ({path: text}, the text the only problem must contain, or None for no
    problem)."""
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        sys.exit(self_test(find_problems, cases))
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).parent.parent
    problems = list(find_problems(root.resolve()))
    for problem in problems:
        print(problem)
    print(f"{pathlib.Path(sys.argv[0]).name}: {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)


def self_test(find_problems, cases):
    failed = 0
    for tree, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder).resolve()
            for path, text in tree.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            problems = list(find_problems(root))
        good = not problems if expected is None else len(problems) == 1 and expected in problems[0]
        if not good:
            failed += 1
            print(f"self-test: expected {expected!r}, found {problems} in {tree}")
    print(f"self-test: {len(cases) - failed} of {len(cases)} cases as expected")
    return 1 if failed else 0
