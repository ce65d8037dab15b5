#!/usr/bin/env python3
"""`darkhorse sample`, `distil` and recipes of stages as a user runs them: a teacher samples, is killed and resumed, the disk
fills; a student learns; what is wrong is told in one line.

sample_test.py PROGRAM"""

import json
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
FILES = ("recipe.toml", "inputs.json", "samples.jsonl", "chats.jsonl", "README.md")


class Sampling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        texts = [json.dumps({"text": f"sum {a} {b}\n<think></think><answer>{a + b}</answer>"}) for a in range(30) for b in range(30)]
        (cls.folder / "c.jsonl").write_text("\n".join(texts))
        cls.succeed("tokenizer", "train", "c.jsonl", "--out", "tokenizer.json", "--vocab-size", "300")
        cls.succeed("data", "prepare", "c.jsonl", "--tokenizer", "tokenizer.json", "--out", "data")
        run = cls.succeed("pretrain", "tiny", "--data", "data", "--out", "run", "--json", "--set", "train.steps=20", "--set",
                          "train.tokens_per_step=512", "--set", "train.micro_batch_tokens=512", "--set", "model.vocab_size=320")
        cls.model = json.loads(run)["checkpoint"]
        rows = [json.dumps({"prompt": f"is {i} a number?", "answer": ".*"}) for i in range(40)]
        (cls.folder / "p.jsonl").write_text("\n".join(rows) + "\n")

    @classmethod
    def start(cls, *arguments, **more):
        return subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=cls.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    @classmethod
    def succeed(cls, *arguments):
        run = subprocess.run([PROGRAM, *map(str, arguments)], cwd=cls.folder, capture_output=True, timeout=120)
        if run.returncode != 0:
            raise AssertionError(run.stderr.decode()[-2000:])
        return run.stdout

    def refuse(self, code, *arguments, says):
        run = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, capture_output=True, timeout=120)
        error = run.stderr.decode()
        self.assertEqual(run.returncode, code, error[-2000:])
        self.assertEqual(run.stdout, b"")
        self.assertIn(says, error.splitlines()[-1])

    def sample(self, out, *more):
        """Every answer that ends is right by this rule."""
        return ["sample", "--model", self.model, "--problems", "p.jsonl", "--rule", "regex", "--out", out, "--samples", "3",
                "--set", "sample.max_tokens=24", "--set", "sample.problems_at_once=1", "--set", "sample.strict=false",
                "--set", "problems.answer=last_number", "--json", *more]

    def traces(self, command, *more):
        return [command, "--task", "sum:1", "--set", "sample.writer=traces", "--set", "sample.problems=40", "--set",
                "sample.samples=1", "--json", *more]

    def assert_same(self, one, other):
        for name in FILES:
            self.assertEqual((self.folder / one / name).read_bytes(), (self.folder / other / name).read_bytes(), name)

    def lines(self, out):
        path = self.folder / out / "samples.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(self):
        self.succeed(*self.sample("whole"))
        self.refuse(1, *self.sample("whole"), says="whole: holds a run already; resume it, or choose another run directory "
                    "(--resume goes on with it)")
        seed = random.randrange(2**32)
        print("sample_test seed", seed)  # to repeat a failure
        choose = random.Random(seed)
        kills = 0
        while kills < 5:
            wanted = self.lines("killed") + choose.randint(0, 8)
            run = self.start(*self.sample("killed", *(["--resume"] if kills else [])))
            while run.poll() is None and self.lines("killed") < wanted:
                time.sleep(0.001)
            time.sleep(choose.uniform(0, 0.01))
            run.kill()
            error = run.communicate()[1]
            if run.returncode != -signal.SIGKILL:
                self.assertEqual(run.returncode, 0, error.decode()[-2000:])  # it was faster than the kill
                break
            kills += 1
        self.assertGreater(kills, 0)
        self.succeed(*self.sample("killed", "--resume"))
        self.assert_same("whole", "killed")

    def test_interrupted_it_saves_and_says_how_it_goes_on(self):
        for _ in range(20):  # on a busy machine it may be over before the signal comes
            run = self.start(*self.sample("interrupted", "--resume"))
            while run.poll() is None and not self.lines("interrupted"):
                time.sleep(0.001)
            run.send_signal(signal.SIGINT)
            out, error = run.communicate(timeout=60)
            result = json.loads(out)
            self.assertEqual(run.returncode, 0 if result["finished"] else 130, error.decode()[-2000:])
            if not result["finished"]:
                break
            (self.folder / "interrupted").rename(self.folder / f"finished{time.time()}")
        self.assertIn("interrupted: the same command with --resume goes on", error.decode())
        self.assertEqual(result["done"], self.lines("interrupted"))

    def test_a_full_disk_loses_nothing(self):
        whole = json.loads(self.succeed(*self.sample("roomy")))
        self.assertEqual(whole["problems"], 37)  # of 40 rows three are held out
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
        run = self.start(*self.sample("full"), preexec_fn=limit)
        error = run.communicate(timeout=120)[1].decode()
        self.assertEqual(run.returncode, 1, error[-2000:])
        self.assertIn("free some space (or raise the limit)", error.splitlines()[-1])
        self.assertGreater(self.lines("full"), 0)
        self.assertFalse((self.folder / "full/README.md").exists())
        self.succeed(*self.sample("full", "--resume"))
        self.assert_same("roomy", "full")

    def test_a_student_learns_what_a_teacher_wrote(self):
        distil = self.traces("distil", "--teacher", self.model, "--student", self.model, "--out", "distilled", "--set",
                             "finetune.steps=4", "--set", "finetune.samples_per_step=4")
        result = json.loads(self.succeed(*distil))
        self.assertTrue(result["finished"])
        self.assertGreater(result["samples"]["kept"], 30)
        before = (self.folder / "distilled/student/metrics.jsonl").read_bytes()
        self.assertEqual(json.loads(self.succeed(*distil))["samples"], result["samples"])
        self.assertEqual((self.folder / "distilled/student/metrics.jsonl").read_bytes(), before)
        self.succeed("evaluate", "--model", result["checkpoint"], "--task", "sum:1", "--count", 2, "--samples", 1,
                     "--completion-tokens", 8)

    def test_what_is_wrong_is_told(self):
        model = ["--model", self.model, "--out", "none"]
        self.refuse(2, "sample", *model, says="nothing to ask; name built-in tasks (--task) or a file")
        self.refuse(2, "sample", *model, "--task", "summ", says="did you mean 'sum'?")
        self.refuse(2, "sample", *model, "--task", "sum", "--problems", "p.jsonl", "--rule", "exact", says="at once")
        self.refuse(2, "sample", *model, "--task", "sum", "--set", "sample.kept=1", says="did you mean 'sample.keep'?")
        self.refuse(2, "sample", "countdown", *model, "--task", "sum", says="`darkhorse run`")
        self.refuse(1, "sample", "--model", "absent", "--out", "none", "--task", "sum", says="absent: no such")
        self.refuse(2, "distil", "--teacher", self.model, "--student", self.model, "--out", "none", says="nothing to ask")
        self.refuse(2, "distill", says="`distil` makes a student of a teacher")
        self.refuse(2, "sample", "countdown", "--model", self.model, "--out", "none",
                    says="without such a stage; this takes one of `darkhorse sample`")
        self.assertFalse((self.folder / "none").exists())
        theirs = self.folder / "theirs"
        theirs.mkdir()
        (theirs / "README.md").write_text("mine\n")
        self.refuse(1, *self.traces("sample", "--model", self.model, "--out", "theirs"), says="theirs")
        self.assertEqual((theirs / "README.md").read_text(), "mine\n")

    def test_a_recipe_may_list_its_stages(self):
        (self.folder / "list.toml").write_text(f"""
[[stage]]
kind = "sample"
name = "traces"
from = "./{self.model}"
[stage.sample]
writer = "traces"
tasks = ["sum:1"]
problems = 30
samples = 1
[[stage]]
kind = "finetune"
from = "./{self.model}"
data = ["traces"]
[stage.finetune]
steps = 2
samples_per_step = 2
[[stage]]
kind = "evaluate"
tasks = ["sum:1"]
[stage.evaluation]
problems = 2
samples = 2
max_tokens = 8
""")
        result = json.loads(self.succeed("run", "list.toml", "--out", "list", "--json"))
        self.assertTrue(result["finished"])
        self.assertIn("finetune", result["scores"])
        self.assertIn("pass@1", result["scores"]["finetune"][0])
        self.assertTrue((self.folder / "list/finetune/report.html").exists())
        self.assertEqual(json.loads(self.succeed("run", "list.toml", "--out", "list", "--json")), result)
        self.refuse(2, "run", "list.toml", "--out", "list", "--set", "tracs.sample.samples=2", says="it begins with no stage's name or kind")


if __name__ == "__main__":
    unittest.main()
