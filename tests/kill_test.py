#!/usr/bin/env python3
"""Kills pretraining with SIGKILL at random moments, resumes it each time, and compares the outcome
with a run that nobody disturbed, byte by byte. SIGINT must save and leave.

kill_test.py PROGRAM"""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
STEPS = 40
CHECKPOINT = f"checkpoints/step-{STEPS:08d}"


class Killed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        words = "the cat sat on a mat while dogs ran to eat bones".split()
        choose = random.Random(1)
        lines = [json.dumps({"text": " ".join(choose.choices(words, k=12))}) for _ in range(2000)]
        (cls.folder / "c.jsonl").write_text("\n".join(lines))
        cls.program("tokenizer", "train", "c.jsonl", "--out", "tokenizer.json", "--vocab-size", "320")
        cls.program("data", "prepare", "c.jsonl", "--tokenizer", "tokenizer.json", "--out", "data",
                    "--validation-fraction", "0.1")
        cls.program(*cls.pretrain("whole"))

    @classmethod
    def program(cls, *arguments):
        subprocess.run([PROGRAM, *arguments], cwd=cls.folder, check=True, capture_output=True,
                       timeout=120)

    @staticmethod
    def pretrain(out, *more):
        settings = {"train.steps": STEPS, "train.tokens_per_step": 512,
                    "train.micro_batch_tokens": 256, "train.checkpoint_every": 3,
                    "train.evaluate_every": 7, "train.evaluate_tokens": 512,
                    "model.vocab_size": 320}
        sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        return ["pretrain", "tiny", "--data", "data", "--out", out, *sets, "--json", *more]

    def start(self, out, *more):
        return subprocess.Popen([PROGRAM, *self.pretrain(out, *more)], cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def steps_recorded(self, out):
        metrics = self.folder / out / "metrics.jsonl"
        return metrics.read_bytes().count(b"\n") if metrics.exists() else 0

    def assert_same_outcome(self, out):
        for name in (f"{CHECKPOINT}/model.safetensors", f"{CHECKPOINT}/optimizer.safetensors",
                     "metrics.jsonl"):
            self.assertEqual((self.folder / out / name).read_bytes(),
                             (self.folder / "whole" / name).read_bytes(), name)

    def test_killed_at_random_moments_and_resumed(self):
        """Moments are counted in progress made, plus a random delay: a slow machine must not find
        every kill before the first step."""
        seed = random.randrange(2**32)
        print("kill_test seed", seed)  # to repeat a failure
        choose = random.Random(seed)
        kills = 0
        while kills < 6:
            before = self.steps_recorded("killed")
            run = self.start("killed", *(["--resume"] if kills else []))
            wanted = before + choose.randint(0, 6)
            while run.poll() is None and self.steps_recorded("killed") < wanted:
                time.sleep(0.001)
            time.sleep(choose.uniform(0, 0.03))
            run.kill()
            _, error = run.communicate()
            if run.returncode != -signal.SIGKILL:
                self.assertEqual(run.returncode, 0, error.decode())  # it was faster than the kill
                break
            kills += 1
        self.assertGreater(kills, 0)
        self.program(*self.pretrain("killed", "--resume"))
        self.assert_same_outcome("killed")

    def test_interrupted_it_saves_and_resumes(self):
        # On a busy machine the run may be over before the signal comes: then once more.
        for _ in range(20):
            run = self.start("interrupted")
            while run.poll() is None and not self.steps_recorded("interrupted"):
                time.sleep(0.001)
            run.send_signal(signal.SIGINT)
            out, error = run.communicate(timeout=60)
            result = json.loads(out)
            self.assertEqual(run.returncode, 0 if result["finished"] else 130, error.decode())
            if not result["finished"]:
                self.assertIn("interrupted: the same command with --resume goes on", error.decode())
                break
            shutil.rmtree(self.folder / "interrupted")
        self.assertFalse(result["finished"])
        # What had been done is saved, not only what the last regular checkpoint held.
        saved = sorted((self.folder / "interrupted/checkpoints").glob("step-*"))[-1]
        self.assertEqual(int(saved.name[5:]), self.steps_recorded("interrupted"))
        self.assertEqual(self.folder / result["checkpoint"], saved)
        self.program(*self.pretrain("interrupted", "--resume"))
        self.assert_same_outcome("interrupted")


if __name__ == "__main__":
    unittest.main()
