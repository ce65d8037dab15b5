#!/usr/bin/env python3
"""Runs the darkhorse program as a user does: right and wrong command lines, bad files. Checks exit
codes, that errors are one line on stderr which names the cure, and that stdout holds only results.

cli_test.py PROGRAM"""

import json
import os
import pathlib
import pty
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
# What is too large must be too large on any machine.
ENVIRONMENT = {**os.environ, "DARKHORSE_MEMORY": str(16 << 30)}


class CommandLine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_program(self, *arguments, stdin=b"", **more):
        return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, cwd=self.folder,
                              capture_output=True, timeout=60, env=ENVIRONMENT, **more)

    def succeed(self, *arguments, stdin=b""):
        """Standard output of a run that must succeed."""
        run = self.run_program(*arguments, stdin=stdin)
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        return run.stdout

    def refuse(self, code, *arguments, says, stdin=b""):
        """The run must end with `code`, print nothing, and say `says` in its one line of error."""
        run = self.run_program(*arguments, stdin=stdin)
        error = run.stderr.decode()
        self.assertEqual(run.returncode, code, f"{arguments}: {error}")
        self.assertEqual(run.stdout, b"")
        lines = [line for line in error.splitlines() if line.startswith("darkhorse: error: ")]
        self.assertEqual(len(lines), 1, error)
        self.assertEqual(lines[0], error.splitlines()[-1])
        self.assertIn(says, lines[0])

    def at_terminal(self, *arguments, stdin=b""):
        """What a run that must succeed shows where stdout is a terminal."""
        ours, theirs = pty.openpty()
        settings = termios.tcgetattr(theirs)
        settings[1] &= ~termios.OPOST  # newlines stay what they are
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        run = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.PIPE, stdout=theirs,
                               stderr=subprocess.PIPE, cwd=self.folder, env=ENVIRONMENT)
        os.close(theirs)
        error = run.communicate(stdin, timeout=60)[1]
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(ours)
        self.assertEqual(run.returncode, 0, error.decode())
        return shown

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def tokenizer(self, vocab_size=300):
        corpus = self.write("corpus.txt", "the cat sat on the mat, the rat ate the oat\n" * 20)
        path = self.folder / "tokenizer.json"
        self.succeed("tokenizer", "train", corpus, "--out", path, "--vocab-size", vocab_size)
        return path


class Usage(CommandLine):
    def test_help_lists_the_commands_and_shows_defaults(self):
        text = self.succeed("--help").decode()
        for command in ("tokenizer", "data", "task", "info"):
            self.assertIn(f"\n  {command} ", text)
        self.assertIn("--vocab-size INT=4096", self.succeed("tokenizer", "train", "--help").decode())
        self.assertIn("--max-tokens INT=0", self.succeed("data", "prepare", "--help").decode())
        self.assertIn(b"darkhorse 0.", self.succeed("--version"))

    def test_convert_names_what_it_writes(self):
        self.refuse(2, "convert", "none", "out", "--to", "gguf-q4_1", says="gguf-q4_1 not in {hf-f32,hf-bf16,gguf-f16,gguf-q8_0,gguf-q4_0,gguf-q4_k}")
        self.refuse(1, "convert", "none", "out", "--to", "hf-f32", says="none: no such folder")
        self.refuse(2, "quantize", says="`convert` writes a model")
        self.refuse(2, "sft", says="`finetune` learns to answer")

    def test_unknown_commands_and_flags_name_the_nearest(self):
        self.refuse(2, "inof", says="unknown command 'inof'; did you mean 'info'?")
        self.refuse(2, "tokenizer", "trian", says="did you mean 'train'?")
        self.refuse(2, "info", "--modle", "x", says="unknown flag '--modle'; did you mean '--model'?")
        self.refuse(2, "chat", "--resume", says="unknown flag '--resume'; see darkhorse chat --help")
        self.refuse(2, "info", ".", says="a checkpoint is given with --model")
        self.refuse(2, "info", "--model", ".", "--set", "model.hidden_size=8", says="--set changes a recipe")
        self.refuse(2, "info", "--jsn=1", says="unknown flag '--jsn'; did you mean '--json'?")
        self.refuse(2, "task", "show", "countdown", "--treads", 2, says="did you mean '--threads'?")
        self.refuse(2, "task", "list", "extra", says="unexpected 'extra'")
        self.refuse(2, "inof", "--json", says="unknown command 'inof'; did you mean 'info'?")

    def test_help_is_a_command_too(self):
        self.assertEqual(self.succeed("help"), self.succeed("--help"))
        self.assertEqual(self.succeed("help", "task", "show"), self.succeed("task", "show", "--help"))

    def test_missing_and_unreadable_values(self):
        self.refuse(2, says="subcommand is required")
        self.refuse(2, "tokenizer", says="subcommand is required")
        self.refuse(2, "tokenizer", "encode", says="--tokenizer is required")
        self.refuse(2, "task", "show", "countdown", "--level", "high",
                    says="--level: 'high' is not an integer")
        self.refuse(2, "--threads", 0, "task", "list", says="--threads")
        self.refuse(2, "data", "prepare", "x.txt", "--tokenizer", "t", "--out", "o", "--max-tokens",
                  "many", says="--max-tokens: 'many' is not an integer")


class Tokenizer(CommandLine):
    def test_encode_and_decode_are_inverse(self):
        tokenizer = self.tokenizer()
        text = "the cat\n\tsat, naïve 猫 \x00".encode() + b"\xff\xfe"
        ids = self.succeed("tokenizer", "encode", "--tokenizer", tokenizer, stdin=text)
        self.assertLess(len(ids.split()), len(text))
        back = self.succeed("tokenizer", "decode", "--tokenizer", tokenizer, stdin=ids)
        self.assertEqual(back, text)

    def test_json_is_one_object(self):
        tokenizer = self.tokenizer()
        out = self.succeed("tokenizer", "encode", "--json", "--tokenizer", tokenizer, stdin=b"cat")
        self.assertEqual(out.count(b"\n"), 1)
        self.assertTrue(json.loads(out)["ids"])

    def test_no_control_character_of_a_file_reaches_the_terminal(self):
        content = json.loads(self.tokenizer().read_text())
        content["model"]["vocab"]["red\x1b[31m\n"] = content["model"]["vocab"]["e"]
        hostile = self.write("hostile.json", json.dumps(content))
        self.refuse(1, "tokenizer", "encode", "--tokenizer", hostile, says=r"red\x1b[31m\n")

    def test_text_commands_no_terminal(self):
        tokenizer = self.tokenizer()
        text = b"\x1b[2Jcat\r\n\tsat\xe2\x80\xae\x9b"
        ids = self.succeed("tokenizer", "encode", "--tokenizer", tokenizer, stdin=text)
        decode = ("tokenizer", "decode", "--tokenizer", tokenizer)
        self.assertEqual(self.succeed(*decode, stdin=ids), text)  # exact where it goes to a file
        self.assertEqual(self.at_terminal(*decode, stdin=ids),
                         b"\\x1b[2Jcat\\x0d\n\tsat\\u202e\\x9b")

    def test_bad_input(self):
        tokenizer = self.tokenizer()
        self.refuse(1, "tokenizer", "train", "none.txt", "--out", "t.json", says="none.txt: no such file")
        empty = self.write("empty.txt", "")
        self.refuse(1, "tokenizer", "train", empty, "--out", "t.json", says="empty.txt")
        self.refuse(1, "tokenizer", "train", self.write("a.pdf", "x"), "--out", "t.json", says="a.pdf")
        self.refuse(2, "tokenizer", "train", "corpus.txt", "--out", "t.json", "--vocab-size", 10,
                  says="--vocab-size = 10")
        self.refuse(2, "tokenizer", "train", "corpus.txt", "--out", "t.json", "--pattern", "(",
                    says='the pattern "("')
        self.refuse(1, "tokenizer", "train", "corpus.txt", "--out", "no/t.json", says="no/t.json")
        self.refuse(1, "tokenizer", "encode", "--tokenizer", "none.json", says="none.json")
        broken = self.write("broken.json", "{")
        self.refuse(1, "tokenizer", "encode", "--tokenizer", broken, says="broken.json")
        self.refuse(1, "tokenizer", "encode", "none", "--tokenizer", tokenizer, says="none: cannot open")
        for word in ("x", "-1", "99999", "99999999999999999999"):
            self.refuse(1, "tokenizer", "decode", "--tokenizer", tokenizer, stdin=word.encode(),
                      says=f"'{word}' is not a token id")
        self.assertFalse((self.folder / "t.json").exists())


class Data(CommandLine):
    def prepare(self, *arguments):
        return ("data", "prepare", *arguments, "--tokenizer", "tokenizer.json", "--out", "shards")

    def test_prepare_reports_what_it_did(self):
        self.tokenizer()
        lines = [json.dumps({"text": f"the cat sat {i}"}) for i in range(200)]
        corpus = self.write("a.jsonl", "\n".join([*lines, "broken"]))
        result = json.loads(self.succeed(
            *self.prepare(corpus, "--validation-fraction", 0.2, "--json")))
        self.assertEqual(result["documents"], 200)
        self.assertEqual(result["malformed"], 1)
        self.assertEqual(result["train_documents"] + result["validation_documents"], 200)
        self.assertTrue((self.folder / "shards/train.bin").exists())
        self.refuse(1, *self.prepare(corpus, "--strict"), says="a.jsonl:201")

    def test_what_a_folder_holds_besides_text_is_told(self):
        self.tokenizer()
        (self.folder / "mixed").mkdir()
        self.write("mixed/rows.json", '[{"text": "one"},\n {"txt": "two"}, {"text": "three"}]')
        for i in range(7):
            self.write(f"mixed/{i}.md", "notes")
        run = self.run_program(*self.prepare("mixed", "--validation-fraction", 0, "--json"))
        result = json.loads(run.stdout)
        self.assertEqual((result["documents"], result["malformed"], result["left_out"]), (2, 1, 7))
        errors = run.stderr.decode()
        self.assertIn("left out mixed/4.md: not named .txt", errors)
        self.assertNotIn("left out mixed/5.md", errors)
        self.assertIn("left out 2 more like these", errors)
        self.assertIn('skipped mixed/rows.json:2: no field "text"', errors)

    def test_what_a_reasoning_model_needs_is_the_default(self):
        ids = self.succeed("tokenizer", "encode", "--tokenizer", self.tokenizer(), "--special",
                           stdin=b"<think></think><answer></answer>")
        self.assertEqual(ids.split(), [b"2", b"3", b"4", b"5"])
        corpus = self.write("a.jsonl", json.dumps({"text": "<think>the cat</think>"}))
        self.succeed(*self.prepare(corpus, "--validation-fraction", 0, "--recognise-special"))
        shard = (self.folder / "shards/train.bin").read_bytes()
        self.assertEqual(struct.unpack_from("<ii", shard, 28), (0, 1))  # begin and end
        tokens = struct.unpack_from("<HH", shard, 40)
        self.assertEqual(tokens, (0, 2))  # a document begins as prompts do, then its first tag

    def test_generated_documents(self):
        self.tokenizer()
        result = json.loads(self.succeed(
            *self.prepare("--generate", "countdown:1", "--documents", 300, "--json")))
        self.assertEqual(result["documents"], 300)
        self.refuse(2, *self.prepare("--generate", "cuontdown", "--documents", 9),
                  says="did you mean 'countdown'?")
        self.refuse(2, *self.prepare("--generate", "countdown:99", "--documents", 9), says="level")
        self.refuse(2, *self.prepare("--generate", "countdown"), says="--documents")
        self.refuse(2, *self.prepare("a.txt", "--documents", 9), says="leave it out for files")
        self.refuse(2, *self.prepare("a.txt", "--separator", "---"), says="--split-text")

    def test_bad_input(self):
        self.tokenizer()
        self.refuse(2, *self.prepare(), says="either files and folders to read, or --generate")
        self.refuse(1, *self.prepare("none"), says="none: no such file or folder")
        (self.folder / "hollow").mkdir()
        self.refuse(1, *self.prepare("hollow"), says="hollow")
        self.refuse(1, *self.prepare(self.write("empty.txt", "")), says="no document with text")
        self.refuse(1, *self.prepare(self.write("bad.txt.gz", "not gzip")), says="bad.txt.gz")
        self.refuse(1, *self.prepare("corpus.txt", "--eos-token", "<eot>"), says="<eot>")
        (self.folder / "raw").mkdir()
        self.write("raw/a.txt", "text")
        self.refuse(1, "pretrain", "tiny", "--data", "raw", "--out", "never",
                    says="raw: no train.bin in this folder; make token shards of the text first: darkhorse data prepare raw")
        self.refuse(1, "pretrain", "tiny", "--data", "corpus.txt", "--out", "never",
                    says="corpus.txt: a file, not a folder of token shards; make token shards of the text first: "
                    "darkhorse data prepare corpus.txt")
        self.refuse(2, *self.prepare("corpus.txt", "--validation-fraction", 2),
                  says="--validation-fraction is 2")
        rows = self.write("rows.jsonl", '{"question": "1+1?"}\n' * 3)
        why = '3 were skipped, the first: ' + str(rows) + ':1: no field "text"'
        self.refuse(1, *self.prepare(rows), says=why)
        self.refuse(1, "tokenizer", "train", rows, "--out", "t.json", says=why)
        self.assertFalse((self.folder / "shards/train.bin").exists())


class Task(CommandLine):
    def test_the_shown_completion_scores_one(self):
        for name in json.loads(self.succeed("task", "list", "--json")):
            shown = json.loads(self.succeed("task", "show", name, "--index", 3, "--json"))
            score = json.loads(self.succeed("task", "score", name, "--index", 3, "--json",
                                            stdin=shown["completion"].encode()))
            self.assertEqual(score["reward"], 1.0, name)
            wrong = json.loads(self.succeed("task", "score", name, "--json", stdin=b"\xff<answer>"))
            self.assertEqual(wrong["reward"], 0.0, name)

    def test_a_scored_answer_commands_no_terminal(self):
        answer = "<think>\n</think>\n<answer>\x1b[2J\u202e7\x9b</answer>".encode()
        shown = self.succeed("task", "score", "sum", stdin=answer)
        self.assertNotIn(b"\x1b", shown)
        self.assertIn(b"\\x1b[2J", shown)

    def test_bad_input(self):
        self.refuse(2, "task", "show", "cuontdown", says="did you mean 'countdown'?")
        self.refuse(2, "task", "show", "countdown", "--level", 99, says="level")
        self.refuse(1, "task", "score", "countdown", "none.txt", says="none.txt")


class Recipes(CommandLine):
    """Recipes are wrong before any data is looked at."""

    def pretrain(self, *arguments):
        return ("pretrain", *arguments, "--data", "none", "--out", "run")

    def test_bad_input(self):
        self.refuse(2, *self.pretrain("tinny"), says="did you mean 'tiny'?")
        self.refuse(2, *self.pretrain("tinny.toml"), says="tinny.toml: no such recipe file; check the path")
        self.refuse(1, *self.pretrain("tiny"), says="none")
        self.refuse(2, *self.pretrain("tiny", "--set", "model.hiden_size=8"),
                    says="did you mean 'model.hidden_size'?")
        self.refuse(2, *self.pretrain("tiny", "--set", "train.steps=many"), says="an integer")
        recipe = self.write("wrong.toml", "[train]\nsteps = 3\nstepz = 4\n")
        self.refuse(2, *self.pretrain(recipe),
                    says="wrong.toml:3: 'train.stepz' is unknown; did you mean 'train.steps'?")
        self.refuse(2, *self.pretrain(self.write("odd.toml", "[train\n")), says="odd.toml:1: not TOML")
        self.refuse(1, "evaluate", "--model", "none", says="none: no such folder")
        self.refuse(1, "generate", "--model", "none", says="error: none: no such folder; name one that holds "
                    "config.json, model.safetensors and tokenizer.json")
        self.refuse(1, "generate", "--model", self.write("file", "x"), says="does not begin with 'GGUF', so it is no GGUF file; name one, or the folder")
        self.refuse(1, "info", self.write("garbage.gguf", "\0\1\2"), says="garbage.gguf: does not begin with 'GGUF'")
        self.refuse(2, "generate", "--model", "none", "--top-p", 2, says="--top-p is 2")
        self.refuse(2, "generate", "--model", "none", "--cache", "big", says="--cache")

    def test_impossible_dimensions(self):
        for assignment, says in (("model.num_experts_per_tok=99", "num_experts_per_tok"),
                                 ("model.n_group=3", "n_group"),
                                 ("model.qk_rope_head_dim=7", "qk_rope_head_dim"),
                                 ("model.hidden_size=0", "hidden_size"),
                                 ("train.router_bias_stop=-1", "router_bias_stop")):
            self.refuse(2, *self.pretrain("tiny", "--set", assignment), says=says)


class FromTextToText(CommandLine):
    """The main path: a corpus, a tokenizer, shards, a model, its loss, text sampled from it."""

    def test_a_small_model_learns_and_speaks(self):
        words = ["the cat", "a dog", "the rat"], ["sat on", "ran to", "ate"], ["the mat", "a bone"]
        lines = [f"{a} {b} {c}." for a in words[0] for b in words[1] for c in words[2]]
        corpus = self.write("c.jsonl", "\n".join(json.dumps({"text": f"{line} {i}"})
                                                 for i in range(40) for line in lines))
        self.succeed("tokenizer", "train", corpus, "--out", "tokenizer.json", "--vocab-size", 320)
        self.succeed("data", "prepare", corpus, "--tokenizer", "tokenizer.json", "--out", "data",
                     "--validation-fraction", 0.1)
        run = json.loads(self.succeed(
            "pretrain", "tiny", "--data", "data", "--out", "run", "--json", "--set",
            "train.steps=30", "--set", "train.tokens_per_step=512", "--set",
            "train.micro_batch_tokens=512", "--set", "model.vocab_size=320"))
        self.assertTrue(run["finished"])
        model = self.folder / run["checkpoint"]
        self.assertEqual(self.succeed("generate", "--model", model, "--max-tokens", 128),
                         (self.folder / "run/sample.txt").read_bytes() + b"\n")
        self.assertIn("writes from nothing", (self.folder / "run/report.html").read_text())
        for command in ("generate", "evaluate", "info"):
            self.refuse(1, command, "--model", "run", says="run: is a run, not a checkpoint; its newest "
                        "checkpoint is run/checkpoints/step-00000030")
        self.refuse(1, "generate", "--model", "run/checkpoints/step-00000010",
                    says="error: run/checkpoints/step-00000010: no such checkpoint; there are step-00000020, "
                    "step-00000030")
        for folder, command in ((model, ("generate", "--model", "bare")),
                                (self.folder / "data", ("pretrain", "tiny", "--out", "other", "--data", "bare"))):
            shutil.copytree(folder, self.folder / "bare")
            (self.folder / "bare" / "tokenizer.json").unlink()
            (self.folder / "bare" / "checksums.json").unlink(missing_ok=True)
            self.refuse(1, *command, says="error: bare: holds no tokenizer.json; copy there the one that "
                        "belongs to it, or make one with `darkhorse tokenizer train`")
            shutil.rmtree(self.folder / "bare")
        self.refuse(1, "reinforce", self.write("rl.toml", "[rl]\nsteps = 1\n"), "--model", "Qwen/Qwen2.5-0.5B", "--out", "other",
                    says="error: Qwen/Qwen2.5-0.5B: no such folder, and nothing is downloaded; fetch the model "
                    "and name its folder, which holds config.json, model.safetensors and tokenizer.json")
        for name in ("hf.co/Qwen/Qwen2.5-0.5B", "https://huggingface.co/Qwen/Qwen2.5-0.5B"):
            self.refuse(1, "generate", "--model", name, says="no such folder, and nothing is downloaded")
        self.refuse(1, "finetune", "--model", model, "--data", self.write("rows.jsonl", '{"text": "x"}\n'), "--out", "sft",
                    says="rows.jsonl:1: not a chat: its columns are text; write {")
        self.refuse(1, "finetune", "--model", model, "--data", "none.jsonl", "--out", "sft", says="none.jsonl: no such file")
        self.refuse(2, "finetune", "--model", model, "--out", "sft", says="--data is required")
        self.assertFalse((self.folder / "sft").exists())
        shutil.copytree(model, self.folder / "piped")
        for name in ("config.json", "tokenizer.json", "model.safetensors", "checksums.json"):
            path = self.folder / "piped" / name
            (self.folder / "piped" / "checksums.json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            self.refuse(1, "generate", "--model", "piped",
                        says=f"error: piped/{name}: is a device, pipe or socket; name a file")
            path.unlink()
            shutil.copy(model / name, path)
        loss = json.loads(self.succeed("evaluate", "--model", model, "--data", "data", "--json"))
        # A uniform guess has ln(320) = 5.77 nats.
        self.assertLess(loss["loss"], 5.0)
        sample = ("generate", "--model", model, "--prompt", "the cat", "--seed", 7, "--max-tokens",
                  16, "--samples", 3, "--json")
        first = self.succeed(*sample)
        self.assertEqual(self.succeed("--threads", 1, *sample, "--batch", 2), first)
        self.assertEqual(len(json.loads(first)["completions"]), 3)
        shown = self.succeed(*sample[:-1]).decode(errors="replace")  # of several, each below a line of its own
        for line in ("--- prompt 1, sample 1 ---\nthe cat", "\n--- prompt 1, sample 3 ---\nthe cat"):
            self.assertIn(line, shown)
        stopped = json.loads(self.succeed(*sample, "--stop", "a"))["completions"]
        self.assertFalse(any("a" in completion["text"] for completion in stopped))
        talk = ("chat", "--model", model, "--seed", 2, "--max-tokens", 4, "--color", "never")
        self.stop_at_every_end(model, sample)
        self.talk_at_a_terminal(talk)
        both = self.succeed(*talk, stdin=b"the cat\n\na dog")  # an empty line asks nothing
        self.assertEqual([line for line in both.splitlines() if line.startswith(b"> ")], [b"> the cat", b"> a dog"])
        for end in (b"exit\n", b"quit\r\n"):
            self.assertEqual(self.succeed(*talk, stdin=b"the cat\n\na dog\n" + end + b"the rat\n"), both)
        exchanges = [json.loads(line) for line in self.succeed(*talk, "--json", stdin=b"the cat\n\na dog").splitlines()]
        self.assertEqual([exchange["question"] for exchange in exchanges], ["the cat", "a dog"])
        for exchange in exchanges:
            self.assertIn(f"> {exchange['question']}\n{exchange['answer']}\n", both.decode())
            self.assertEqual((exchange["tokens"], exchange["finish"]), (4, "length"))
        one = self.succeed(*talk, stdin=b"the cat\n")
        self.assertTrue(both.startswith(one) and len(both) > len(one) > 1, (one, both))
        # What cannot be answered is said, and the rest is answered all the same.
        run = self.run_program(*talk, stdin=b"word " * 5000 + b"\nthe cat\n")
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"tokens, but prompt and completion together may have 512", run.stderr)
        self.assertIn(b"questions without an answer: 1", run.stderr)
        self.assertIn(b"the answer to 'the cat' is cut off at 4 tokens; --max-tokens gives more", run.stderr)
        self.assertGreater(len(run.stdout), 1)
        # A script must not take the answers before an interruption for all.
        for stop in (signal.SIGINT, signal.SIGTERM):
            chat = subprocess.Popen([PROGRAM, *map(str, talk)], cwd=self.folder, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
            chat.stdin.write(b"the cat\n")
            chat.stdin.flush()
            self.assertTrue(chat.stdout.readline())
            chat.send_signal(stop)
            error = chat.communicate(timeout=60)[1]
            self.assertEqual(chat.returncode, 130, error.decode())
        info = json.loads(self.succeed("info", "--model", model, "--json"))
        self.assertLess(info["active_parameters"], info["parameters"])
        self.refuse(1, "pretrain", "tiny", "--data", "data", "--out", "run", says="run")
        (self.folder / "other").mkdir()
        foreign = self.write("other/recipe.toml", "of = 'another run'\n")
        lines = self.write("other/metrics.jsonl", '{"step":1}\n')
        self.refuse(1, "pretrain", "tiny", "--data", "data", "--out", "other", says="another run")
        self.assertEqual(foreign.read_text(), "of = 'another run'\n")
        self.assertEqual(lines.read_text(), '{"step":1}\n')
        for foreign in ("data", model):  # folders that hold something else
            self.refuse(1, "pretrain", "tiny", "--data", "data", "--out", foreign, says="it is no run to go on with")
            self.assertFalse((self.folder / foreign / "recipe.toml").exists())
        self.refuse_what_belongs_to_others(corpus, model)
        (self.folder / "hostile").mkdir()
        config = json.loads((model / "config.json").read_text())
        for name in ("tokenizer.json", "model.safetensors"):
            (self.folder / "hostile" / name).symlink_to(model / name)
        for field, value, says in (
                ("hidden_size", 2**63 - 1, "hidden_size is 9223372036854775807"),
                ("num_hidden_layers", 2**31, "num_hidden_layers is 2147483648"),
                ("n_shared_experts", 2**40, "n_shared_experts"),
                ("vocab_size", 2**24, "config.json asks for [16777216,")):
            self.write("hostile/config.json", json.dumps({**config, field: value}))
            self.refuse(1, "generate", "--model", "hostile", says=says)
            if says.startswith(field):
                self.refuse(1, "info", "--model", "hostile", says=says)
        # A context beyond any memory is no reason not to use a little of it.
        self.write("hostile/config.json", json.dumps({**config, "max_position_embeddings": 2**31 - 1}))
        self.succeed("generate", "--model", "hostile", "--max-tokens", 2)
        self.refuse_a_weight_that_is_no_number(model)
        with open(model / "model.safetensors", "r+b") as file:
            file.seek(-1, 2)
            file.write(b"\xff")
        self.refuse(1, "generate", "--model", model, says="model.safetensors")


    def stop_at_every_end(self, model, sample):
        """generation_config.json may name more tokens that end a text; here any does."""
        other = self.folder / "all-end"
        other.mkdir()
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            (other / name).symlink_to(model / name)
        sample = [other if part == model else part for part in sample]
        self.assertEqual(self.succeed(*sample), self.succeed(*[model if part == other else part for part in sample]))
        vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
        (other / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(vocabulary))}))
        run = self.run_program(*sample)
        for completion in json.loads(run.stdout)["completions"]:
            self.assertEqual((len(completion["ids"]), completion["finish"]), (1, "stop"))
        self.assertRegex(run.stderr.decode(), "darkhorse: 3 of 3 texts ended at once: the first token was .*newline\n")
        answer = json.loads(self.succeed("chat", "--model", other, "--json", stdin=b"the cat"))
        self.assertEqual((answer["answer"], answer["finish"]), ("", "stop"))
        scores = json.loads(self.succeed("evaluate", "--model", other, "--task", "sum", "--count", 2, "--samples", 2,
                                         "--json"))
        self.assertEqual(scores["tasks"][0]["mean_length"], 1)

    def talk_at_a_terminal(self, talk):
        """Lines are edited, the arrows bring earlier ones back, and quit ends."""
        ours, theirs = pty.openpty()
        answers = open(self.folder / "answers", "wb")
        chat = subprocess.Popen([PROGRAM, *map(str, talk)], stdin=theirs, stdout=answers, stderr=theirs,
                                cwd=self.folder, env={**ENVIRONMENT, "TERM": "xterm"}, start_new_session=True)
        os.close(theirs)
        shown = b""

        def wait_for(text):
            nonlocal shown
            while text not in shown:
                self.assertTrue(select.select([ours], [], [], 60)[0], shown)
                shown += os.read(ours, 4096)
        wait_for(b"> ")
        self.assertIn(b"one question a line", shown)
        for typed in (b"the cax\x7ft\n", b"\x1b[A\n"):  # a slip mended; the same question again
            shown = b""
            os.write(ours, typed)
            wait_for(b"more\r\n")
            self.assertIn(b"the answer to 'the cat' is cut off at 4 tokens", shown)
        os.write(ours, b"quit\n")
        self.assertEqual(chat.wait(timeout=60), 0)
        os.close(ours)
        answers.close()

    def refuse_what_belongs_to_others(self, corpus, model):
        """A tokenizer, and shards, of another model."""
        special = [word for i in range(400) for word in ("--special-tokens", f"<special {i}>")]
        self.succeed("tokenizer", "train", corpus, "--out", "larger.json", "--vocab-size", 700, *special)
        (self.folder / "mixed").mkdir()
        for name in ("config.json", "model.safetensors"):
            (self.folder / "mixed" / name).symlink_to(model / name)
        (self.folder / "mixed/tokenizer.json").symlink_to(self.folder / "larger.json")
        self.refuse(1, "generate", "--model", "mixed",
                    says="ids, but it embeds")
        self.succeed("data", "prepare", corpus, "--tokenizer", "larger.json", "--out", "theirs",
                     "--validation-fraction", 0.1, "--bos-token", "<special 1>", "--eos-token", "<special 0>")
        self.refuse(1, "evaluate", "--model", model, "--data", "theirs", says="another tokenizer")
        shutil.copytree(self.folder / "data", self.folder / "swapped")
        shutil.copy(self.folder / "larger.json", self.folder / "swapped/tokenizer.json")
        self.refuse(1, "pretrain", "tiny", "--data", "swapped", "--out", "swapped-run",
                    says="not the tokenizer that train.bin was made with")
        shutil.copy(self.folder / "theirs/val.bin", self.folder / "data/val.bin")
        self.refuse(1, "pretrain", "tiny", "--data", "data", "--out", "swapped-run",
                    says="made with another tokenizer")
        # A copy without the optimizer's state is a model still.
        shutil.copytree(model, self.folder / "light")
        (self.folder / "light/optimizer.safetensors").unlink()
        self.succeed("generate", "--model", "light", "--max-tokens", 2)

    def refuse_a_weight_that_is_no_number(self, model):
        shutil.copytree(model, self.folder / "broken")
        (self.folder / "broken/checksums.json").unlink()
        weights = self.folder / "broken/model.safetensors"
        content = bytearray(weights.read_bytes())
        header = int.from_bytes(content[:8], "little")
        begin = json.loads(content[8:8 + header])["model.norm.weight"]["data_offsets"][0]
        content[8 + header + begin:8 + header + begin + 4] = b"\0\0\xc0\x7f"
        weights.write_bytes(content)
        self.refuse(1, "generate", "--model", "broken", says="model.norm.weight holds numbers that are not finite")

    def test_held_out_text_is_optional(self):
        self.tokenizer()
        corpus = self.write("c.txt", "the cat sat on the mat\n" * 200)
        self.succeed("data", "prepare", corpus, "--tokenizer", "tokenizer.json", "--out", "data",
                     "--validation-fraction", 0)
        run = self.run_program(
            "pretrain", "tiny", "--data", "data", "--out", "run", "--json", "--set", "train.steps=2",
            "--set", "train.tokens_per_step=512", "--set", "train.micro_batch_tokens=512")
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        self.assertIn("has no val.bin", run.stderr.decode())
        result = json.loads(run.stdout)
        self.assertTrue(result["finished"])
        self.assertNotIn("validation_loss", result)
        self.refuse(1, "evaluate", "--model", result["checkpoint"], "--data", "data", says="val.bin")

    def test_an_end_token_is_optional(self):
        self.tokenizer()
        corpus = self.write("c.txt", "the cat sat on the mat\n" * 200)
        self.succeed("data", "prepare", corpus, "--tokenizer", "tokenizer.json", "--out", "data",
                     "--validation-fraction", 0, "--bos-token", "", "--eos-token", "")
        pretrain = ("pretrain", "tiny", "--data", "data", "--out", "run", "--json",
                    "--set", "train.steps=2", "--set", "train.tokens_per_step=512",
                    "--set", "train.micro_batch_tokens=512")
        first = self.run_program(*pretrain, "--resume")
        self.assertIn("run holds no run to go on with", first.stderr.decode())
        checkpoint = json.loads(first.stdout)["checkpoint"]
        self.assertFalse((self.folder / "run/sample.txt").exists())
        self.assertTrue(json.loads(self.succeed(*pretrain, "--resume"))["finished"])
        config = json.loads((self.folder / checkpoint / "config.json").read_text())
        self.assertIsNone(config["eos_token_id"])
        self.succeed("generate", "--model", checkpoint, "--prompt", "the", "--max-tokens", 4)
        self.refuse(2, "generate", "--model", checkpoint, says="the prompt is empty")


class Extremes(CommandLine):
    """Numbers at the end of every range: refused in one line that names the flag, before anything is
    read, computed or allocated."""

    def refuse_values(self, command, flag, values):
        for value in values:
            self.refuse(2, *command, flag, value, says=flag)

    def test_counts(self):
        beyond = (0, -1, 2**63 - 1, 2**63, 2**64, 10**30)
        for flag in ("--samples", "--max-tokens", "--batch"):
            self.refuse_values(("generate", "--model", "none"), flag, beyond)
        self.refuse_values(("generate", "--model", "none"), "--top-k", (-1, 2**31, 2**63))
        for flag in ("--sequence-length", "--count", "--samples", "--completion-tokens", "--batch"):
            self.refuse_values(("evaluate", "--model", "none", "--data", "none"), flag, beyond)
        self.refuse_values(("evaluate", "--model", "none"), "--max-tokens", (0, -1, 2**63))
        for flag in ("--rounds", "--batches", "--prompt-tokens", "--new-tokens"):
            self.refuse_values(("bench", "tiny"), flag, beyond)
        for flag in ("--context", "--micro-batch-tokens"):
            self.refuse_values(("info", "tiny"), flag, beyond[1:])
        prepare = ("data", "prepare", "x.txt", "--tokenizer", "t", "--out", "o")
        self.refuse_values(prepare, "--max-tokens", (2**63, 10**30))
        self.refuse_values(prepare, "--max-document-bytes", (2**63, 10**30))
        self.refuse_values(("tokenizer", "train", "x.txt", "--out", "o"), "--vocab-size",
                           (2**31, 2**63))
        self.refuse_values(("--threads", 1), "--threads", (0, -1, 2**31, "0x10", "010"))
        cores = len(os.sched_getaffinity(0))
        for variable, threads in (("1", 1), ("3", 3), ("0", cores), ("-2", cores), ("few", cores)):
            text = subprocess.run([PROGRAM, "--help"], capture_output=True,
                                  env={**ENVIRONMENT, "OMP_NUM_THREADS": variable}).stdout.decode()
            self.assertIn(f"in [1 - 4096]={threads}\n", text)
        self.refuse_values(("generate", "--model", "none"), "--seed", (-1, 2**64, "x"))
        self.refuse_values(("generate", "--model", "none"), "--samples", ("0x2", "010", "2.5", ""))
        self.refuse_values(("generate", "--model", "none"), "--temperature", ("nan", "inf", "hot"))
        self.refuse_values(("report", "none"), "--price", ("-1", "nan", "inf", "1e300"))
        error = self.run_program("report", "none", "--price", "-1").stderr
        self.assertLess(len(error), 200, error)

    def test_after_the_tokenizer_is_read(self):
        self.tokenizer()
        prepare = ("data", "prepare", "corpus.txt", "--tokenizer", "tokenizer.json", "--out", "o")
        self.refuse_values(prepare, "--max-tokens", (-1, -2**63))
        self.refuse_values(prepare, "--max-document-bytes", (0, -1, -2**63))

    def test_recipes(self):
        for field in ("steps", "tokens_per_step", "micro_batch_tokens", "sequence_length"):
            for value in (0, -1, 2**62, 2**63 - 1):
                self.refuse(2, "pretrain", "tiny", "--data", "none", "--out", "run", "--set",
                            f"train.{field}={value}", says=f"train.{field} is {value}")
        for field in ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings"):
            for value in (-1, 2**32, 2**63 - 1):
                self.refuse(2, "info", "tiny", "--set", f"model.{field}={value}",
                            says=f"{field} is {value}")
        for field in ("corpus.documents", "vocab_size", "digits_per_token", "corpus.max_attempts"):
            self.refuse(2, "run", "countdown", "--out", "run", "--set", f"{field}=-1",
                        says=f"{field} is -1")
        for field in ("problems", "samples"):
            self.refuse(2, "run", "countdown", "--out", "run", "--set",
                        f"evaluate.evaluation.{field}=-1", says=f"evaluation.{field} is -1")
        self.refuse(2, "run", "countdown", "--out", "run", "--set", f"vocab_size={2**32 + 512}",
                    says="vocab_size")

    def test_more_memory_than_there_is(self):
        self.refuse(1, "bench", "tiny", "--set", "model.hidden_size=8192", "--set",
                    "model.vocab_size=16777216", says="of memory, this machine has")
        self.refuse(1, "bench", "tiny", "--batches", 65536, "--prompt-tokens", 2**30, "--set",
                    "model.max_position_embeddings=2147483647", says="of memory, this machine has")


class Outputs(CommandLine):
    """What is not a plain file or folder is never replaced by one."""

    def test_links_and_pipes(self):
        self.tokenizer()
        target = self.write("precious.txt", "precious")
        (self.folder / "link").symlink_to(target)
        os.mkfifo(self.folder / "pipe")
        for out, kind in (("link", "a symbolic link"), ("pipe", "a device, pipe or socket"),
                          (".", "a directory")):
            self.refuse(1, "tokenizer", "train", "corpus.txt", "--out", out, "--vocab-size", 300,
                        says=f"is {kind}")
        self.assertTrue((self.folder / "link").is_symlink())
        self.assertTrue((self.folder / "pipe").is_fifo())
        self.assertEqual(target.read_text(), "precious")

    def test_a_file_where_a_folder_is_to_be(self):
        self.tokenizer()
        target = self.write("precious.txt", "precious")
        os.mkfifo(self.folder / "pipe")
        (self.folder / "link").symlink_to(target)
        self.succeed("data", "prepare", "corpus.txt", "--tokenizer", "tokenizer.json", "--out", "data",
                     "--validation-fraction", 0)
        for out in ("precious.txt", "pipe", "link", "precious.txt/x"):
            self.refuse(1, "data", "prepare", "corpus.txt", "--tokenizer", "tokenizer.json", "--out",
                        out, says=out)
            self.refuse(1, "pretrain", "tiny", "--data", "data", "--out", out, says=out)
        self.assertEqual(target.read_text(), "precious")

    def test_a_link_to_a_folder_is_that_folder(self):
        self.tokenizer()
        (self.folder / "big_disk").mkdir()
        (self.folder / "link").symlink_to("big_disk")
        self.succeed("data", "prepare", "corpus.txt", "--tokenizer", "tokenizer.json", "--out", "link",
                     "--validation-fraction", 0)
        self.assertTrue((self.folder / "link").is_symlink())
        self.assertTrue((self.folder / "big_disk/train.bin").exists())

    def test_a_limit_of_file_size_is_an_error_like_a_full_disk(self):
        self.write("corpus.txt", "the cat sat on the mat, the rat ate the oat\n" * 20)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        run = self.run_program("tokenizer", "train", "corpus.txt", "--out", "t.json", "--vocab-size", 300,
                               preexec_fn=limit)
        self.assertEqual(run.returncode, 1, run.stderr.decode())
        self.assertIn("free some space (or raise the limit)", run.stderr.decode())
        self.assertEqual([path.name for path in self.folder.iterdir()], ["corpus.txt"])
        with open("/dev/full", "wb") as full:
            run = subprocess.run([PROGRAM, "task", "list"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"cannot write the result to stdout; free some space", run.stderr)


class Info(CommandLine):
    def test_a_recipe(self):
        memory = json.loads(self.succeed("info", "tiny", "--json"))["training_memory_bytes"]
        parts = [memory[part] for part in ("weights", "gradients", "moments", "activations",
                                              "rotations")]
        self.assertEqual(sum(parts), memory["total"])
        half = json.loads(self.succeed("info", "tiny", "--micro-batch-tokens", 1024, "--json"))
        self.assertLess(half["training_memory_bytes"]["activations"], memory["activations"])
        self.refuse(2, "info", "tiny", "--model", ".", says="not both")
        self.refuse(2, "info", "tinny", says="'tiny'")
        for field, value in (("q_lora_rank", 24), ("kv_lora_rank", 40), ("qk_nope_head_dim", 20), ("v_head_dim", 12),
                             ("qk_rope_head_dim", 10), ("intermediate_size", 100), ("moe_intermediate_size", 36),
                             ("first_k_dense_replace", 0), ("n_shared_experts", 3)):
            changed = json.loads(self.succeed("info", "tiny", "--set", f"model.{field}={value}", "--json"))
            self.assertEqual(changed[field], value)

    def test_the_machine(self):
        machine = json.loads(self.succeed("info", "--json"))
        self.assertEqual(machine["cores"], len(os.sched_getaffinity(0)))
        self.assertEqual(machine["memory_bytes"], int(ENVIRONMENT["DARKHORSE_MEMORY"]))
        self.assertIn(machine["isa"], machine["supported_isas"].split())
        for measured in ("peak_gflops", "bandwidth_gb_s"):
            self.assertGreater(machine[measured], 0)

    def test_bad_input(self):
        self.refuse(1, "info", "--model", "none", says="error: none: no such folder; name one that holds "
                    "config.json, model.safetensors and tokenizer.json")
        self.write("config.json", "{}")
        self.refuse(1, "info", "--model", ".", says="config.json")


class Pipes(CommandLine):
    def test_a_shells_pipe_is_read(self):
        self.write("corpus.txt", "some words to read\n" * 20)
        self.succeed("tokenizer", "train", "corpus.txt", "--split-text", "--out", "t.json", "--vocab-size", 300)
        plain = self.succeed("tokenizer", "encode", "--tokenizer", "t.json", "corpus.txt")
        os.mkfifo(self.folder / "pipe")
        writer = subprocess.Popen(["sh", "-c", "cat corpus.txt > pipe"], cwd=self.folder)
        self.assertEqual(self.succeed("tokenizer", "encode", "--tokenizer", "t.json", "pipe"), plain)
        writer.wait()

    def test_no_folder_is_no_run(self):
        self.refuse(1, "report", "nowhere", says="nowhere: no such folder; give the directory of a run")


class Interrupted(CommandLine):
    def test_nothing_is_left_of_what_was_interrupted(self):
        self.write("corpus.txt", "some words to read\n" * 20)
        self.succeed("tokenizer", "train", "corpus.txt", "--split-text", "--out", "t.json", "--vocab-size", 300)
        out = self.folder / "data"
        run = subprocess.Popen([PROGRAM, "data", "prepare", "--generate", "countdown:1", "--documents", str(10**9),
                                "--tokenizer", "t.json", "--out", "data", "--bos-token", "<｜begin▁of▁sentence｜>"],
                               cwd=self.folder, stderr=subprocess.PIPE, env=ENVIRONMENT)
        while not (out.exists() and any(out.iterdir())):
            self.assertIsNone(run.poll())
        run.send_signal(signal.SIGINT)
        error = run.communicate(timeout=60)[1].decode()
        self.assertEqual(run.returncode, 130, error)
        self.assertIn("nothing was saved", error)
        self.assertEqual(list(out.iterdir()), [])


class Bench(CommandLine):
    def test_every_part_of_a_step_has_its_share(self):
        settings = ("--set", "train.tokens_per_step=1536", "--set", "train.micro_batch_tokens=512",
                    "--set", "train.sequence_length=512")
        result = json.loads(self.succeed("bench", "tiny", *settings, "--rounds", 1, "--batches", 2,
                                         "--new-tokens", 8, "--json"))
        training = result["training"]
        parts = training["where_time_goes"]
        for part in ("attention", "dense_feed_forward", "experts_and_dispatch", "router", "head_and_loss",
                     "mtp_modules_without_head", "embedding_norms_residuals", "optimizer"):
            self.assertGreater(parts[part]["milliseconds"], 0, part)
        self.assertAlmostEqual(sum(part["share"] for part in parts.values()), 1)
        seconds = training["step_seconds"]
        for part in parts.values():
            self.assertAlmostEqual(part["milliseconds"], 1e3 * seconds * part["share"])
        self.assertAlmostEqual(training["forward_backward_share"], 1 - parts["optimizer"]["share"])
        # Three micro-batches of 512 tokens, documents as long as a sequence.
        self.assertAlmostEqual(training["tokens_per_second"] * seconds, 1536)
        cost = json.loads(self.succeed("info", "tiny", *settings, "--json"))["training_flops_per_token"]
        self.assertAlmostEqual(training["gflops"] * 1e9 * seconds / (1536 * cost), 1)
        self.assertAlmostEqual(training["share_of_peak"], training["gflops"] / result["peak_gflops"])
        # Rounds differ; parts and whole are of the same ones.
        parts = json.loads(self.succeed("bench", "tiny", "--rounds", 9, "--batches", 1, "--new-tokens", 8,
                                        "--json"))["training"]["where_time_goes"]
        self.assertGreaterEqual(parts["not_covered"]["milliseconds"], 0)

    def test_decoding_is_beside_its_roofline(self):
        result = json.loads(self.succeed("bench", "tiny", "--rounds", 1, "--batches", 1, 2, "--new-tokens", 8,
                                         "--json"))
        for batch in ("1", "2"):
            self.assertGreater(result["decoding_tokens_per_second"][batch], 0)
            self.assertGreater(result["decoding_share_of_roofline"][batch], 0)


class RecipeKinds(CommandLine):
    def test_a_command_takes_its_section_of_a_run(self):
        whole = json.loads(self.succeed("info", "countdown", "--json"))
        self.assertEqual(whole["hidden_size"], 128)
        changed = json.loads(self.succeed("info", "countdown", "--set", "model.hidden_size=64", "--json"))
        self.assertEqual(changed["hidden_size"], 64)
        self.refuse(2, "info", "countdown", "--set", "pretrain.model.hidden_size=64", says="model.hidden_size")

    def test_another_command_s_recipe_is_refused(self):
        for command, recipe, owner in (("pretrain", "own", "reinforce"), ("reinforce", "s", "pretrain"),
                                       ("run", "s", "pretrain"), ("run", "own", "reinforce"),
                                       ("finetune", "s", "pretrain")):
            needs = {"pretrain": ("--data", "none"), "reinforce": ("--model", "none"), "run": (),
                     "finetune": ("--model", "none", "--data", "none")}[command]
            self.refuse(2, command, recipe, *needs, "--out", "none",
                        says=f"a recipe of `darkhorse {owner}`; this takes one of `darkhorse {command}`")


if __name__ == "__main__":
    unittest.main()
