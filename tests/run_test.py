#!/usr/bin/env python3
"""`darkhorse run` from end to end, with a recipe of a few seconds: every stage leaves its files; a
second call finds them and computes nothing anew; a run that is killed in every stage and called
again ends in the same bytes as one that nobody disturbed.

run_test.py PROGRAM"""

import fcntl
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())

RECIPE = """
vocab_size = 320
digits_per_token = 3

[corpus]
tasks = ["countdown:1"]
documents = 1500

[[stage]]
kind = "pretrain"
name = "base"
[stage.model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
kv_lora_rank = 16
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 16
intermediate_size = 64
moe_intermediate_size = 16
n_routed_experts = 4
max_position_embeddings = 128
tie_word_embeddings = true
[stage.train]
steps = 30
tokens_per_step = 512
micro_batch_tokens = 512
sequence_length = 128
checkpoint_every = 10
evaluate_every = 10
evaluate_tokens = 1024

[[stage]]
kind = "evaluate"
[stage.evaluation]
problems = 6
samples = 4

[[stage]]
kind = "reinforce"
name = "reinforced"
[stage.rl]
tasks = ["countdown:1"]
steps = 6
prompts_per_step = 4
group_size = 4
max_tokens = 48
evaluate_every = 3
evaluate_problems = 4
evaluate_samples = 2
checkpoint_every = 2
overlong_penalty = 0.5

[[stage]]
kind = "evaluate"
[stage.evaluation]
problems = 6
samples = 4
"""

# Written anew by every call, or with times in them.
OF_THE_CALL = ("report.html", "figures", "tensorboard", "timings.jsonl", "probe.json")


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        (cls.folder / "tiny_run.toml").write_text(RECIPE)
        run = cls.start("whole")
        out, cls.told = run.communicate(timeout=120)
        assert run.returncode == 0, cls.told.decode()
        cls.result = json.loads(out)

    @classmethod
    def start(cls, out):
        return subprocess.Popen([PROGRAM, "run", "tiny_run.toml", "--out", out, "--json"],
                                cwd=cls.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @staticmethod
    def finish(run):
        out, error = run.communicate(timeout=120)
        assert run.returncode == 0, error.decode()
        return out

    def files(self, out):
        """Path below `out` -> (digest, time of the last change) of what a call must not change."""
        found = {}
        for path in sorted((self.folder / out).rglob("*")):
            name = path.relative_to(self.folder / out)
            if path.is_file() and not set(name.parts) & set(OF_THE_CALL):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(name)] = (digest, path.stat().st_mtime_ns)
        return found

    def test_the_corpus_is_told_of_until_it_is_whole(self):
        self.assertRegex(self.told.decode(), r"(?m)^100 % · [0-9.]+k tokens$")

    def test_a_stage_counts_its_own_steps(self):
        steps = [line for line in self.told.decode().splitlines() if line.startswith("step ")]
        pretraining = [line for line in steps if " loss " in line]
        self.assertTrue(pretraining[-1].startswith("step 30/30 "), pretraining)
        reinforcement = [line for line in steps if " loss " not in line]
        self.assertTrue(reinforcement[-1].startswith("step 6/6 "), reinforcement)

    def test_every_stage_leaves_its_files(self):
        self.assertTrue(self.result["finished"])
        self.assertEqual(self.result["model"], "whole/reinforced/checkpoints/step-00000006")
        for stage in ("base", "reinforced"):
            self.assertEqual(self.result["scores"][stage][0]["task"], "countdown")
        files = self.files("whole")
        for name in ("recipe.toml", "tokenizer.json", "data/train.bin", "data/val.bin", "base.json",
                     "base/checkpoints/step-00000030/model.safetensors", "base/metrics.jsonl",
                     "reinforced/checkpoints/step-00000006/model.safetensors",
                     "reinforced/metrics.jsonl", "reinforced.json"):
            self.assertIn(name, files)
        self.assertTrue((self.folder / "whole/report.html").exists())

    def test_a_second_call_computes_nothing_anew(self):
        before = self.files("whole")
        self.assertEqual(json.loads(self.finish(self.start("whole"))), self.result)
        self.assertEqual(self.files("whole"), before)

    def test_another_recipe_is_refused(self):
        run = subprocess.run([PROGRAM, "run", "tiny_run.toml", "--out", "whole", "--set",
                              "pretrain.train.steps=31"], cwd=self.folder, capture_output=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"but reinforced has begun from what base made", run.stderr)

    def test_two_at_once_are_refused(self):
        folder = os.open(self.folder / "whole", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        run = subprocess.run([PROGRAM, "run", "tiny_run.toml", "--out", "whole"], cwd=self.folder,
                             capture_output=True, timeout=120)
        self.assertEqual(run.returncode, 1, run.stderr.decode())
        self.assertIn(b"whole: another process is at work in it", run.stderr)

    def test_what_another_left_is_not_adopted(self):
        for name in ("data", "base.json"):
            out = self.folder / f"with {name}"
            (out / name).mkdir(parents=True)
            run = subprocess.run([PROGRAM, "run", "tiny_run.toml", "--out", out], cwd=self.folder,
                                 capture_output=True, timeout=120)
            self.assertEqual(run.returncode, 1, run.stderr.decode())
            self.assertIn(f"holds other files ({name})".encode(), run.stderr)
            self.assertEqual([path.name for path in out.iterdir()], [name])

    def lines(self, name):
        path = self.folder / name
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def test_killed_in_every_stage_it_ends_in_the_same_bytes(self):
        exists = lambda name: lambda: (self.folder / "killed" / name).exists()
        grown = lambda name, lines: lambda: self.lines(f"killed/{name}") >= lines
        moments = (exists("tokenizer.json"), exists("data/tokenizer.json"),
                   grown("base/metrics.jsonl", 5), grown("base/metrics.jsonl", 25),
                   exists("base.json"), grown("reinforced/metrics.jsonl", 1),
                   grown("reinforced/metrics.jsonl", 5))
        kills = 0
        for reached in moments:
            run = self.start("killed")
            while run.poll() is None and not reached():
                time.sleep(0.001)
            run.kill()
            _, error = run.communicate()
            if run.returncode != -signal.SIGKILL:
                self.assertEqual(run.returncode, 0, error.decode())  # faster than the kill
                break
            kills += 1
        self.assertGreater(kills, 3)
        self.finish(self.start("killed"))
        digests = {out: {name: digest for name, (digest, _) in self.files(out).items()}
                   for out in ("whole", "killed")}
        self.assertEqual(digests["killed"], digests["whole"])


if __name__ == "__main__":
    unittest.main()
