#!/usr/bin/env python3
"""Problems and verifiers of the user's, through the program: the examples, training that is killed and
resumed, evaluation, and everything that can be wrong with a file or a reward program.

own_task_test.py PROGRAM"""

import fcntl
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
PYTHON = f"exec {sys.executable} -I -S"
REWARD = f"{PYTHON} {EXAMPLES}/reward.py"
# A busy machine is no hang of the reward program.
PATIENT = ("--reward-seconds", "60")
QUARTER = ("--held-out-share", "0.25", *PATIENT)


def row(**columns):
    return json.dumps(columns) + "\n"


ROWS = "".join(row(prompt=f"{i}+1", answer=i + 1) for i in range(40))


def setUpModule():
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    OwnTask.folder = pathlib.Path(folder.name)
    OwnTask.make_model()


class OwnTask(unittest.TestCase):
    model = "base/checkpoints/step-00000030"

    @classmethod
    def make_model(cls):
        special = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<think>", "</think>", "<answer>", "</answer>"]
        corpus = [f"make {a + b} from {a} {b} 0\n<think></think><answer>{a}+{b}</answer>"
                  for a in range(1, 9) for b in range(1, 9)]
        cls.write("corpus.jsonl", "".join(row(text=text) for text in corpus))
        cls.program("tokenizer", "train", "corpus.jsonl", "--out", "tokenizer.json", "--vocab-size", 300,
                    "--special-tokens", *special)
        cls.program("data", "prepare", "--generate", "countdown:1", "--documents", 400, "--tokenizer",
                    "tokenizer.json", "--out", "data", "--recognise-special")
        settings = {"train.steps": 30, "train.tokens_per_step": 1024, "train.sequence_length": 64,
                    "train.evaluate_every": 0, "model.vocab_size": 300, "model.num_nextn_predict_layers": 0,
                    "model.max_position_embeddings": 96, "train.checkpoint_every": 30}
        cls.program("pretrain", "tiny", "--data", "data", "--out", "base", *cls.sets(settings))

    @classmethod
    def write(cls, name, content):
        (cls.folder / name).write_text(content)
        return name

    @staticmethod
    def sets(settings):
        return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]

    @classmethod
    def run_program(cls, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], cwd=cls.folder, capture_output=True, text=True,
                              timeout=120)

    @classmethod
    def program(cls, *arguments):
        run = cls.run_program(*arguments)
        if run.returncode != 0:
            raise AssertionError(f"{arguments}: {run.stderr}")
        return run

    def result(self, *arguments):
        return json.loads(self.program(*arguments, "--json").stdout)

    def refuse(self, code, *arguments, says):
        run = self.run_program(*arguments)
        self.assertEqual(run.returncode, code, f"{arguments}: {run.stderr}")
        self.assertEqual(run.stdout, "")
        self.assertTrue(run.stderr.splitlines()[-1].startswith("darkhorse: error: "), run.stderr)
        self.assertEqual(run.stderr.count("darkhorse: error: "), 1)
        self.assertIn(says, run.stderr.splitlines()[-1])

    def reinforce(self, out, *more, **settings):
        settings = {"rl.steps": 2, "rl.prompts_per_step": 4, "rl.group_size": 4, "rl.max_tokens": 16,
                    "rl.evaluate_every": 2, "rl.evaluate_problems": 4, "rl.evaluate_samples": 2,
                    "rl.checkpoint_every": 1, "problems.held_out_share": 0.25, "problems.reward_seconds": 60,
                    **{name.replace("__", "."): value for name, value in settings.items()}}
        return ["reinforce", "own", "--model", self.model, "--out", out, *self.sets(settings), *more]

    def metrics(self, out):
        """Of the steps: before them stands an evaluation alone."""
        lines = [json.loads(line) for line in (self.folder / out / "metrics.jsonl").read_text().splitlines()]
        self.assertIn("evaluation", lines[0])
        self.assertEqual(lines[0]["step"], 0)
        return lines[1:]


class Examples(OwnTask):
    def test_their_own_answers_are_right(self):
        for file, scorer in (("problems.jsonl", ("--reward", REWARD)),
                             ("code_problems.jsonl",
                              ("--reward", f"{PYTHON} {EXAMPLES}/unit_tests_reward.py"))):
            result = self.result("task", "check", "--problems", EXAMPLES / file, *scorer, *QUARTER)
            self.assertGreaterEqual(result["held_out"], 1)
            self.assertEqual(result["own_answers_right"], result["problems"])
            self.assertEqual(result["reward_program_failures"], 0)

    def ask(self, program, prompt, completion, meta=None):
        request = {"id": 5, "prompt": prompt, "completion": completion, "answer": "", "meta": meta}
        run = subprocess.run([sys.executable, EXAMPLES / program], input=json.dumps(request) + "\n", text=True,
                             capture_output=True, check=True)
        reply = json.loads(run.stdout)
        self.assertEqual(reply["id"], 5)
        return reply["score"]

    def test_reward_of_wrong_answers(self):
        for answer, score in (("2*3+4", 1), ("(2*3)+4", 1), ("2+3+4", 0.15), ("4/2+3", 0.05), ("4+3*2", 1),
                              ("10", 0), ("2*3+5", 0), ("2**3+4", 0), ("4/(3-3)", 0), ("(" * 5000, 0), ("", 0),
                              ("2*3+4.0", 1), ("f(2,3,4)", 0), ("-2+3*4", 0)):
            got = self.ask("reward.py", "make 10 from 2 3 4\n", f"<think>x</think><answer>{answer}</answer>")
            self.assertAlmostEqual(got, score, msg=answer)
        self.assertEqual(self.ask("reward.py", "make 10 from 2 3 4\n", "2*3+4"), 0)

    def test_code_that_misbehaves_passes_no_test(self):
        tests = {"tests": ["assert f(1) == 2", "assert f(2) == 3"]}
        for code, score in (("def f(x): return x + 1", 1), ("def f(x): return 2", 0.5), ("def f(x): return x", 0),
                            ("import sys; sys.exit(0)", 0), ("def f(x):", 0), ("import os\nos._exit(0)", 0), ("f = lambda x: bytearray(1 << 30)", 0),
                            ("```python\ndef f(x):\n    return x + 1\n```", 1)):
            got = self.ask("unit_tests_reward.py", "p", f"<think></think><answer>{code}</answer>", tests)
            self.assertEqual(got, score, code)
        self.assertEqual(self.ask("unit_tests_reward.py", "p", "no answer", tests), 0)
        endless = self.ask("unit_tests_reward.py", "p", "<think></think><answer>while True: pass</answer>",
                           {"tests": ["assert True"]})
        self.assertEqual(endless, 0)

    # The package itself is not needed: what it is asked for is its documented interface.
    def test_reasoning_gym_sets_are_problems_and_verifier(self):
        self.write("reasoning_gym.py", """
def create_dataset(name, size, seed, **config):
    return [{"question": f"{name} {i}", "answer": str(i * config["by"] + seed), "metadata": {"by": config["by"]}}
            for i in range(size)]

def get_score_answer_fn(name):
    assert name == "steps"
    return lambda answer, entry: (1.0 if answer == entry["answer"] and entry["metadata"]["by"] == 3 and
                                  entry["question"].startswith("steps ") else 0.01)
""")
        task = f"env PYTHONPATH=. {sys.executable} {EXAMPLES}/reasoning_gym_task.py"
        rows = subprocess.run([*task.split(), "make", "steps", "--count", "9", "--seed", "4", "--set", "by=3"],
                              cwd=self.folder, capture_output=True, text=True, check=True).stdout
        self.write("steps.jsonl", rows)
        self.assertEqual(json.loads(rows.splitlines()[2])["answer"], "10")
        checked = json.loads(self.program("task", "check", "--problems", "steps.jsonl", "--reward", f"{task} score",
                                          "--json", *QUARTER).stdout)
        self.assertEqual((checked["problems"], checked["own_answers_right"]), (9, 9))
        said = {"<answer>1</answer> no: <answer> 10 </answer>": 1, "so \\boxed{10}.": 1, "it is\n10\n": 1,
                "<think><answer>10</answer></think>11": 0.01, "\\boxed{\\frac{1}{2}}": 0.01, "": 0.01}
        lines = "".join(row(id=i, prompt="steps 2\n", completion=text, answer="10",
                            meta={"dataset": "steps", "metadata": {"by": 3}}) for i, text in enumerate(said))
        scored = subprocess.run([*task.split(), "score"], cwd=self.folder, input=lines, capture_output=True,
                                text=True, check=True).stdout
        replies = [json.loads(line) for line in scored.splitlines()]
        self.assertEqual([reply["score"] for reply in replies], list(said.values()))
        self.assertEqual(replies[4]["answer"], "\\frac{1}{2}")



class Training(OwnTask):
    def test_killed_and_resumed_ends_in_the_same_bytes(self):
        scored = ("--problems", EXAMPLES / "problems.jsonl", "--reward", REWARD, "--json")
        run = self.program(*self.reinforce("whole", *scored, rl__steps=8))
        self.assertTrue(json.loads(run.stdout)["finished"])
        self.assertRegex(run.stderr, r"problems\.jsonl: \d+ problems to train on, \d+ held out")
        for line in self.metrics("whole"):
            self.assertEqual(line["reward_program/failures"], 0)
        self.assertEqual(self.metrics("whole")[1]["evaluation"][0]["task"], "problems.jsonl")
        # The moments are counted in steps made, plus a random delay.
        choose, kills = random.Random(), 0
        for kill in range(3):
            process = subprocess.Popen(
                [PROGRAM, *map(str, self.reinforce("killed", *scored, *(["--resume"] if kill else []),
                                                   rl__steps=8))],
                cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            metrics = self.folder / "killed/metrics.jsonl"
            while process.poll() is None and (not metrics.exists()
                                              or metrics.read_bytes().count(b"\n") < kill):
                time.sleep(0.002)
            time.sleep(choose.uniform(0, 0.05) if kill else 0)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        self.assertGreater(kills, 0)  # else nothing was tried
        self.program(*self.reinforce("killed", *scored, "--resume", rl__steps=8))
        for name in ("metrics.jsonl", "samples.jsonl", "checkpoints/step-00000008/model.safetensors",
                     "checkpoints/step-00000008/trainer_state.json"):
            self.assertEqual((self.folder / "whole" / name).read_bytes(),
                             (self.folder / "killed" / name).read_bytes(), name)
        # The recipe alone makes the same run; another file or scorer is another run.
        self.program("reinforce", "whole/recipe.toml", "--model", self.model, "--out", "again")
        self.assertEqual((self.folder / "whole/metrics.jsonl").read_bytes(),
                         (self.folder / "again/metrics.jsonl").read_bytes())
        self.refuse(1, *self.reinforce("whole", "--problems", EXAMPLES / "problems.jsonl", "--rule", "exact",
                                       "--resume", rl__steps=8), says="recipe.toml")

    def test_one_process_at_a_time(self):
        self.write("rows.jsonl", ROWS)
        command = self.reinforce("shared", "--problems", "rows.jsonl", "--rule", "numeric")
        (self.folder / "shared").mkdir()
        holder = os.open(self.folder / "shared", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(holder, fcntl.LOCK_EX)
            self.refuse(1, *command, says="shared: another process is at work in it")
        finally:
            os.close(holder)
        self.program(*command)

    def test_a_changed_file_is_another_run(self):
        self.write("mine.jsonl", ROWS)
        scored = ("--problems", "mine.jsonl", "--rule", "numeric")
        self.program(*self.reinforce("mine", *scored))
        self.write("mine.jsonl", ROWS + row(prompt="40+1", answer=41))
        self.refuse(1, *self.reinforce("mine", *scored, "--resume"), says="mine.jsonl: has changed")

    def test_every_rule(self):
        for rule, answer in (("exact", "a b"), ("numeric", "1,000.5"), ("choice", "(B)"), ("regex", "a|b+"),
                             ("math", "2^10")):
            self.write("rule.jsonl", "".join(row(prompt=f"p{i}", answer=answer) for i in range(40)))
            result = self.result("evaluate", "--model", self.model, "--problems", "rule.jsonl", "--rule", rule,
                                 "--samples", 2, "--completion-tokens", 4, "--count", 2, "--held-out-share", 1)
            self.assertEqual(result["tasks"][0]["problems"], 2)
            check = self.result("task", "check", "--problems", "rule.jsonl", "--rule", rule)
            self.assertEqual(check["own_answers"], 40)
            self.assertEqual(check["own_answers_right"], 0 if rule == "regex" else 40)

    def test_evaluate_with_a_program(self):
        result = self.result("evaluate", "--model", self.model, "--problems", EXAMPLES / "problems.jsonl",
                             "--reward", REWARD, "--samples", 4, "--completion-tokens", 16, *QUARTER)
        self.assertEqual(result["reward_program_failures"], 0)
        self.assertIn("pass@4", result["tasks"][0])
        self.assertEqual(result["tasks"][0]["task"], "problems.jsonl")

    def test_more_tokens_than_the_context_leaves_are_told(self):
        self.write("rows.jsonl", ROWS)
        for tokens, told in ((8, False), (10**6, True)):
            run = self.program("evaluate", "--model", self.model, "--problems", "rows.jsonl", "--rule", "exact",
                               "--samples", 1, "--completion-tokens", tokens, "--count", 1, "--held-out-share", 1)
            self.assertEqual(f"--completion-tokens is {tokens}, but the model's context holds" in run.stderr, told)


class Bench(OwnTask):
    def test_a_step_of_reinforcement(self):
        settings = {"rl.prompts_per_step": 2, "rl.group_size": 4, "rl.max_tokens": 8, "rl.max_refills": 0}
        result = self.result("bench", "countdown", "--model", self.model, "--rounds", 1, *self.sets(settings))
        step = result["reinforcement"]
        self.assertLessEqual(step["mean_length"], 8)
        for figure in ("step_seconds", "samples_per_minute", "sampled_tokens_per_second",
                       "sampling_share_of_roofline"):
            self.assertGreater(step[figure], 0, figure)
        self.assertAlmostEqual(step["samples_per_minute"] / 60 * step["step_seconds"], 2 * 4)
        self.assertAlmostEqual(sum(step["where_time_goes"].values()), 1)
        sampling = step["where_time_goes"]["sample"] * step["step_seconds"]  # the shares are of one round
        self.assertAlmostEqual(step["sampled_tokens_per_second"] * sampling, 2 * 4 * step["mean_length"])
        for field, value in (("rl.group_size", 0), ("rl.max_tokens", 0), ("grpo.objective", "cilp")):
            self.refuse(2, "bench", "countdown", "--model", self.model, "--set", f"{field}={value}", says=field)


class Interrupted(OwnTask):
    def test_a_reward_that_hangs_does_not_hold_it(self):
        # Rows' own answers are scored at once; the model's are thought about for ever.
        self.write("rows.jsonl", ROWS)
        self.write("hangs.py", "import json, pathlib, sys, time\nfor line in sys.stdin:\n"
                   "    request = json.loads(line)\n"
                   "    if request['completion'] != '<think></think><answer>' + request['answer'] + '</answer>':\n"
                   "        pathlib.Path('hanging').touch()\n"
                   "        time.sleep(999)\n"
                   "    print(json.dumps({'id': request['id'], 'score': 1}), flush=True)\n")
        command = self.reinforce("hangs", "--problems", "rows.jsonl", "--reward", f"{PYTHON} hangs.py",
                                 probe__problems=0, problems__reward_seconds=600)
        run = subprocess.Popen([PROGRAM, *map(str, command), "--json", "--resume"], cwd=self.folder,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (self.folder / "hanging").exists():
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(run.poll())
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        out, error = run.communicate(timeout=60)  # the program's own limit is ten times that
        self.assertEqual(run.returncode, 130, error)
        self.assertFalse(json.loads(out)["finished"])
        self.assertIn("stopped before the first step", error)
        self.assertIn("hangs holds no run to go on with: starting one", error)
        self.assertIn("nothing was saved yet; the same command begins anew", error)


    def test_inside_any_part_of_a_step_nothing_is_lost(self):
        # The program stops answering at its Nth sample unless released: 4 of them are the file's own answers,
        # then come 8 of the evaluation before the first step, then 16 of a step and 8 of its evaluation, in turn.
        self.write("rows.jsonl", ROWS)
        self.write("stops.py", "import json, pathlib, sys, time\nfor n, line in enumerate(sys.stdin, 1):\n"
                   "    request = json.loads(line)\n"
                   "    if not pathlib.Path('released').exists() and n == int(pathlib.Path('stop_at').read_text()):\n"
                   "        pathlib.Path('stopped').touch()\n"
                   "        time.sleep(999)\n"
                   "    score = len(request['completion']) % 3 / 2\n"
                   "    print(json.dumps({'id': request['id'], 'score': score}), flush=True)\n")
        scored = ("--problems", "rows.jsonl", "--reward", f"{PYTHON} stops.py", "--json")
        settings = {"probe__problems": 0, "problems__reward_seconds": 600, "problems__reward_processes": 1,
                    "rl__max_refills": 0, "rl__evaluate_every": 1, "rl__checkpoint_every": 3, "rl__steps": 3,
                    "optimizer__learning_rate": 3e-4, "schedule__warmup_steps": 2}  # soon better: there is a best/
        released, stopped = self.folder / "released", self.folder / "stopped"
        released.touch()
        self.program(*self.reinforce("undisturbed", *scored, **settings))
        for stop_at, done in ((12 + 16 + 3, 1), (12 + 16 + 8 + 5, 1), (12 + 2 * 24 + 16 + 8, 3)):
            released.unlink()
            stopped.unlink(missing_ok=True)
            self.write("stop_at", str(stop_at))
            out = f"stopped-{stop_at}"
            run = subprocess.Popen([PROGRAM, *map(str, self.reinforce(out, *scored, **settings))], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 60
            while not stopped.exists():
                self.assertLess(time.monotonic(), deadline)
                self.assertIsNone(run.poll())
                time.sleep(0.02)
            run.send_signal(signal.SIGINT)
            output, error = run.communicate(timeout=60)
            self.assertIn(f"stopped after step {done}; its state is saved", error)
            self.assertEqual(run.returncode, 130, error)
            self.assertFalse(json.loads(output)["finished"])
            released.touch()
            resumed = self.result(*self.reinforce(out, *scored[:-1], "--resume", **settings))
            self.assertTrue(resumed["finished"])
            for name in ("metrics.jsonl", "samples.jsonl", "best/model.safetensors",
                         *(f"checkpoints/step-00000003/{file}" for file in
                           ("model.safetensors", "optimizer.safetensors", "trainer_state.json"))):
                self.assertEqual((self.folder / "undisturbed" / name).read_bytes(),
                                 (self.folder / out / name).read_bytes(), f"{stop_at}: {name}")


class BadInput(OwnTask):
    def setUp(self):
        self.write("rows.jsonl", ROWS)

    def check(self, *arguments):
        return ("task", "check", "--problems", *arguments)

    def test_usage(self):
        self.refuse(2, *self.check("rows.jsonl", "--rule", "numerc"), says="did you mean 'numeric'?")
        self.refuse(2, *self.check("rows.jsonl"), says="say how its answers are scored")
        self.refuse(2, *self.check("rows.jsonl", "--rule", "exact", "--reward", "cat"), says="only one of them")
        self.refuse(2, "task", "check", "--rule", "exact", says="--problems")
        self.refuse(2, "task", "check", says="--problems")
        self.refuse(2, *self.check("rows.jsonl", "--rule", "exact", "--held-out-share", 2), says="not in range")
        rows = ("--problems", "rows.jsonl", "--rule", "exact")
        self.refuse(2, *self.reinforce("none", *rows, rl__group_size=1), says="rl.group_size is 1")
        self.refuse(2, *self.reinforce("none", *rows, problems__held_out_share=0), says="rl.evaluate_every")
        self.refuse(2, "evaluate", "--model", self.model, *rows, "--held-out-share", 0, says="held-out-share")
        self.assertFalse((self.folder / "none").exists())

    def test_files(self):
        exact = ("--rule", "exact")
        self.refuse(1, *self.check("none.jsonl", *exact), says="none.jsonl")
        self.refuse(1, *self.check(self.write("empty.jsonl", "\n\n"), *exact), says="empty.jsonl: no problems")
        for bad, says in ((row(answer=1), "no field prompt"), (row(prompt="p"), "no field answer"),
                          ("{\n", "not valid JSON at byte"), (row(prompt=" ", answer=1), "the prompt is empty")):
            self.refuse(1, *self.check(self.write("bad.jsonl", ROWS + bad), *exact), says=f"bad.jsonl:41: {says}")
        self.refuse(1, *self.check(self.write("words.jsonl", row(prompt="p", answer="six")), "--rule", "numeric"),
                    says="words.jsonl:1: the answer 'six'")
        self.refuse(1, *self.check(self.write("open.jsonl", row(prompt="p", answer="(")), "--rule", "regex"),
                    says="open.jsonl:1: the answer '('")
        self.write("one.jsonl", row(prompt="p", answer="1"))
        self.refuse(1, *self.check("one.jsonl", *exact, "--held-out-share", 0.001), says="none of its problems (1)")
        self.refuse(1, *self.reinforce("none", "--problems", "rows.jsonl", *exact, problems__held_out_share=1),
                    says="none to train on")
        self.write("long.jsonl", ROWS + row(prompt="x" * 3000, answer="1"))
        for command in (self.reinforce("none", "--problems", "long.jsonl", *exact),
                        ["evaluate", "--model", self.model, "--problems", "long.jsonl", *exact,
                         "--held-out-share", 1]):
            self.refuse(1, *command, says="long.jsonl:41: the prompt 'xxx")
        self.assertFalse((self.folder / "none").exists())

    def python(self, body):
        self.write("verifier.py", "import json, os, sys, time\nfor line in sys.stdin:\n"
                   "    request = json.loads(line)\n"
                   "    def reply(score):\n"
                   "        print(json.dumps({'id': request['id'], 'score': score}), flush=True)\n" + body)
        return ("--reward", f"{PYTHON} verifier.py")

    def test_programs_that_never_work_are_refused_before_the_run(self):
        for body, says in (("    reply(1.5)\n", "not a number from 0 to 1: {"),
                           ("    reply(float('nan'))\n", "standard error): {"),
                           ("    print('garbage', flush=True)\n", "standard error): garbage"),
                           ("    raise ValueError('no such column')\n", "ValueError: no such column"),
                           ("    bytearray(1 << 40)\n", "MemoryError"),
                           ("    os.close(1), os.fork(), time.sleep(99)\n", "closed its output")):
            self.refuse(1, *self.reinforce("none", "--problems", "rows.jsonl", *self.python(body)), says=says)
        self.refuse(1, *self.check("rows.jsonl", *self.python("    time.sleep(99)\n"), "--reward-seconds", 0.5),
                    says="no answer within 0.5 s")
        self.refuse(1, *self.check("rows.jsonl", *PATIENT, "--reward", "./no-such-program"), says="exit code 127")
        self.assertFalse((self.folder / "none").exists())

    def test_programs_that_sometimes_fail_cost_samples_only(self):
        # Rows' own answers are scored; a model's completions meet several kinds of trouble.
        program = self.python("    kind = len(request['completion']) % 4\n"
                              "    if '<answer>' in request['completion']: reply(1)\n"
                              "    elif kind == 0: print('gar\\nbage', flush=True)\n"
                              "    elif kind == 1: reply(7)\n"
                              "    elif kind == 2: os._exit(9)\n"
                              "    else: reply(0.5)\n")
        run = self.program(*self.reinforce("flaky", "--problems", "rows.jsonl", *program, rl__steps=2), "--json")
        self.assertTrue(json.loads(run.stdout)["finished"])
        failed = [line["reward_program/failures"] for line in self.metrics("flaky")]
        self.assertGreater(sum(failed), 0)
        self.assertIn("the reward program", self.metrics("flaky")[failed.index(max(failed))]
                      ["reward_program/last_failure"])
        self.assertRegex(run.stderr, r"after step \d: \d+ samples could not be scored; the last: the reward program")

    def test_a_reference_answer_that_is_not_right_is_told(self):
        run = self.program(*self.check("rows.jsonl", *PATIENT, *self.python("    reply(0.25)\n")))
        self.assertRegex(run.stderr, r"gives 0\.25 to the reference answer of rows\.jsonl:\d+")


if __name__ == "__main__":
    unittest.main()
