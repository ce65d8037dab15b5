#!/usr/bin/env python3
"""The Debian package: built by cpack, read with dpkg-deb, unpacked into a folder, and the server in it asked. What the machine has
no tool for is skipped, and said.

package_test.py BUILD_FOLDER"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ("cpack", "dpkg-deb", "dpkg-shlibdeps")


def output(*words, **how):
    run = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, **how)
    if run.returncode != 0:
        raise AssertionError(f"{words}: {run.returncode}\n{run.stdout}{run.stderr}")
    return run.stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
            raise unittest.SkipTest(f"no {', '.join(missing)} here, so no package was built")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        output("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", cls.folder / "out")
        (cls.package,) = (cls.folder / "out").glob("*.deb")
        cls.root = cls.folder / "root"
        output("dpkg-deb", "-x", cls.package, cls.root)

    def test_what_it_says_of_itself(self):
        def field(name):
            return output("dpkg-deb", "-f", self.package, name).strip()

        version = output(self.root / "usr/bin/darkhorse", "--version").split()[1]
        self.assertEqual(self.package.name, f"darkhorse_{version}_amd64.deb")
        self.assertEqual((field("Package"), field("Version"), field("Architecture")), ("darkhorse", version, "amd64"))
        for library in ("libc6", "libstdc++6", "libpcre2-8-0", "libzstd1"):
            self.assertIn(library, field("Depends"))
        control = self.folder / "control"
        output("dpkg-deb", "-e", self.package, control)
        self.assertEqual((control / "conffiles").read_text(), "/etc/default/darkhorse\n")
        for script in ("postinst", "prerm", "postrm"):
            self.assertTrue((control / script).stat().st_mode & 0o111, script)
            output("sh", "-n", control / script)

    def test_what_it_installs(self):
        listed = output("dpkg-deb", "-c", self.package).splitlines()
        files = {}
        for line in listed:
            mode, owner, _, _, _, name = line.split()[:6]
            self.assertEqual(owner, "root/root", line)
            if not mode.startswith("d"):
                files[name.removeprefix(".")] = mode
            else:
                self.assertEqual(mode, "drwxr-xr-x", line)
        self.assertEqual({name: mode for name, mode in files.items() if not name.startswith("/usr/share/doc/darkhorse/docs/")}, {
            "/usr/bin/darkhorse": "-rwxr-xr-x",
            "/lib/systemd/system/darkhorse.service": "-rw-r--r--",
            "/etc/default/darkhorse": "-rw-r--r--",
            "/usr/share/doc/darkhorse/README.md": "-rw-r--r--",
            "/usr/share/doc/darkhorse/CHANGELOG.md": "-rw-r--r--",
            "/usr/share/doc/darkhorse/copyright": "-rw-r--r--"})
        # The unit's documentation, among that of the program.
        unit = (self.root / "lib/systemd/system/darkhorse.service").read_text()
        named = unit.split("Documentation=file://")[1].split()[0]
        self.assertIn(named, files)

    def test_the_unit_is_one_that_systemd_takes(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze here")
        unit = self.folder / "darkhorse.service"
        text = (self.root / "lib/systemd/system/darkhorse.service").read_text()
        unit.write_text(text.replace("/usr/bin/", f"{self.root}/usr/bin/"))
        run = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ""))
        # Exposure from 0 to 10, in tenths; what stays is that it has a network.
        output("systemd-analyze", "security", "--offline=yes", "--threshold=20", unit)

    def test_its_server_answers(self):
        sys.argv.insert(1, str(self.root / "usr/bin/darkhorse"))
        import serve_test  # which takes the program from there
        serve_test.Serving.folder = self.folder
        serve_test.Serving.make_model()
        # As the unit has it: the file's words as flags, of which it must know each.
        words = dict(line.split("=", 1) for line in (self.root / "etc/default/darkhorse").read_text().splitlines()
                     if line and not line.startswith("#"))
        self.assertEqual(set(words), {"DARKHORSE_MODEL", "DARKHORSE_FLAGS"})
        self.assertEqual(words["DARKHORSE_FLAGS"], '"--port 8080"')  # which a test's own port stands for
        with serve_test.Server(serve_test.Serving.model) as server:
            answer = server.chat(max_tokens=4, thinking={"type": "disabled"})
            self.assertTrue(answer["choices"][0]["message"]["content"])


if __name__ == "__main__":
    unittest.main()
