#!/usr/bin/env python3
"""`darkhorse watch` as a browser sees it while a run goes on.

watch_test.py PROGRAM"""

import http.client
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
PATIENCE = 60


class Watch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_directory = pathlib.Path(folder.name) / "a run"
        self.run_directory.mkdir()
        self.process = subprocess.Popen([PROGRAM, "watch", self.run_directory, "--port", "0", "--refresh", "1"],
                                        stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.process.stderr.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.port = int(self.process.stderr.readline().split("http://127.0.0.1:")[1].split("/")[0])

    def ask(self, path="/", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def shows(self, text):
        """The page, once it shows this."""
        deadline = time.monotonic() + PATIENCE
        while text not in (page := self.ask()[2]):
            assert time.monotonic() < deadline, page
            time.sleep(0.05)
        return page

    def append(self, name, **line):
        with (self.run_directory / name).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def test_a_run_from_before_its_first_step(self):
        status, headers, text = self.ask()
        self.assertEqual((status, headers["Refresh"]), (503, "1"))
        self.assertIn("nothing to show yet", text)
        for step in (1, 2):
            self.append("metrics.jsonl", step=step, reward=step / 2, accuracy=step / 2, num_tokens=50)
            self.append("samples.jsonl", step=step, task="sum", prompt="1 + 2\n", reward=1.0,
                        completion=f"<think>step {step} <script>alert(1)</script></think>3")
            page = self.shows(f"step {step} &lt;script&gt;")
            self.assertNotIn("<script", page)
        status, headers, _ = self.ask()
        self.assertEqual(status, 200)
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertEqual(sorted(path.name for path in self.run_directory.iterdir()), ["metrics.jsonl", "samples.jsonl"])

    def test_who_may_see_it(self):
        self.assertEqual(self.ask(Host="evil.example")[0], 403)
        self.assertEqual(self.ask(Origin="http://evil.example")[0], 403)
        self.assertEqual(self.ask("/metrics.jsonl")[0], 404)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0)

    def test_no_folder_is_no_run(self):
        run = subprocess.run([PROGRAM, "watch", self.run_directory / "none"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(run.returncode, 1)
        self.assertIn("is no folder", run.stderr)


if __name__ == "__main__":
    unittest.main()
