#!/usr/bin/env python3
"""Runs tools/setup with made-up dpkg-query, apt-get, id and sudo: nothing on this machine changes."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SETUP = pathlib.Path(__file__).parent.parent / "tools/setup"
ADVICE = "apt-get update && apt-get install -y --no-install-recommends ccache libfmt-dev"


class Setup(unittest.TestCase):
    def run_setup(self, missing=(), user=0, apt="exit 0", sudo=None):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            commands = {
                "dpkg-query": f'case " {" ".join(missing)} " in *" $3 "*) exit 1;; esac; echo installed',
                "apt-get": f'echo "$@" >> {folder}/log; {apt}',
                "id": f"echo {user}",
                "env": 'while [[ $1 == *=* ]]; do shift; done; exec "$@"',
            }
            if sudo:
                commands["sudo"] = sudo
            for command, text in commands.items():
                (folder / command).write_text(f"#!/bin/bash\n{text}\n")
                (folder / command).chmod(0o755)
            for tool in ("bash", "grep"):
                path = next(p for p in ("/usr/bin", "/bin") if os.path.exists(f"{p}/{tool}"))
                (folder / tool).symlink_to(f"{path}/{tool}")
            run = subprocess.run(["/bin/bash", SETUP], env={"PATH": name}, capture_output=True,
                                 text=True, stdin=subprocess.DEVNULL)
            log = folder / "log"
            return run, log.read_text().splitlines() if log.exists() else []

    def test_does_nothing_when_all_is_there(self):
        run, log = self.run_setup()
        self.assertEqual((run.returncode, log), (0, []))
        self.assertIn("nothing to install", run.stdout)

    def test_root_installs_exactly_what_is_missing_and_says_so(self):
        run, log = self.run_setup(missing=["ccache", "libfmt-dev"])
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("installing ccache libfmt-dev", run.stdout)
        self.assertEqual(len(log), 2)
        self.assertTrue(log[0].endswith(" update"), log)
        self.assertTrue(log[1].endswith(" install -y --no-install-recommends ccache libfmt-dev"), log)

    def test_sudo_installs_where_it_needs_no_password(self):
        run, log = self.run_setup(missing=["ccache"], user=1000, sudo='[ "$1" = -n ] && exit 0; "$@"')
        self.assertEqual((run.returncode, len(log)), (0, 2), run.stderr)

    def test_without_the_right_it_prints_the_one_line(self):
        for sudo in (None, "exit 1"):
            run, log = self.run_setup(missing=["ccache", "libfmt-dev"], user=1000, sudo=sudo)
            self.assertEqual((run.returncode, log), (1, []))
            self.assertIn(ADVICE, run.stderr)

    def test_a_failed_installation_is_named(self):
        run, _ = self.run_setup(missing=["ccache", "libfmt-dev"], apt="exit 100")
        self.assertEqual(run.returncode, 1)
        self.assertIn(ADVICE, run.stderr)


class PageLibraries(unittest.TestCase):
    """What the page of `serve` is built with (cmake/page.cmake)."""

    def test_a_build_without_them_says_which_to_install(self):
        with tempfile.TemporaryDirectory() as name:
            run = subprocess.run(["cmake", f"-DDARKHORSE_WEB={name}", "-P", SETUP.parent.parent / "cmake/page.cmake"],
                                 cwd=name, capture_output=True, text=True)
        self.assertNotEqual(run.returncode, 0)
        advice = "apt-get install -y --no-install-recommends "
        named = run.stderr.split(advice)[1].splitlines()[0].split()
        self.assertGreater(len(named), 4)
        # And setup installs them.
        words = SETUP.read_text().split("packages=(")[1].split("\n)")[0].split()
        self.assertEqual([package for package in named if package not in words], [])


if __name__ == "__main__":
    unittest.main()
