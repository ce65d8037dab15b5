#!/usr/bin/env python3
"""Reports of hand-made run directories: well-formed pages that hold what the files say, with hostile
and broken input.

report_page_test.py PROGRAM"""

import html.parser
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
VOID = {"meta", "br"}
HOSTILE = (b"<think>1 < 2 && </pre></style><script>alert(1)</script> \xff\xfe \\u0000 "
           b"<img src=x onerror=alert(1)> &lt; \xe2\x80\xae rtl</think><answer>7</answer>")


class Page(html.parser.HTMLParser):
    """Fails on unbalanced tags and collects tags, attributes and text."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(source)
        self.close()
        if self.open:
            raise AssertionError(f"never closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes nothing, at {self.getpos()}")

    def handle_data(self, data):
        self.text += data


def pretraining_lines(steps):
    for step in range(1, steps + 1):
        line = {"step": step, "tokens": 1000 * step, "loss": 5 / step, "mtp_loss": 0,
                "balance_loss": 1, "max_violation": 0.5, "learning_rate": 0.01, "grad_norm": 1.5}
        if step % 10 == 0:
            line |= {"validation_loss": 5.5 / step, "expert_load": [[10, 30, 20, 20]]}
        yield line


def evaluation(right):
    return [{"task": "countdown", "level": 1, "problems": 64, "samples": 4, "pass@1": right,
             "pass@1_ci95": [right - 0.05, right + 0.05], "pass@2": right + 0.05, "pass@2_ci95": [right, right + 0.1], "pass@4": right + 0.1,
             "pass@4_ci95": [right + 0.06, right + 0.14], "maj@4": right, "format_rate": 0.9, "truncated_rate": 0.1,
             "mean_length": 100 * right}]


def reinforcement_lines(steps):
    for step in range(1, steps + 1):
        line = {"step": step, "num_tokens": 500 * step, "reward": step / steps, "reward_std": 0.2,
                "accuracy": step / steps, "format_rate": 1.0, "completions/mean_length": 10.0 + step,
                "completions/clipped_ratio": 0.0, "frac_reward_zero_std": 0.25, "entropy": 0.5,
                "kl": 0.0, "loss": 0.0, "grad_norm": 0.3, "sampling/logp_gap_max": 0.0}
        if step % 5 == 0:
            line["evaluation"] = evaluation(0.1 + step / steps / 2)
        yield line


def timing_lines(steps, seconds, threads):
    for step in range(1, steps + 1):
        yield {"step": step, "seconds": seconds, "flops": 2e9, "threads": threads}


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_directory = pathlib.Path(folder.name) / "a<b>&c"
        self.run_directory.mkdir()

    def write(self, name, lines, tail=b""):
        path = self.run_directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + tail)

    def report(self, *flags):
        run = subprocess.run([PROGRAM, "report", self.run_directory, "--json", *flags],
                             capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        path = self.run_directory / "report.html"
        self.assertEqual(pathlib.Path(json.loads(run.stdout)["report"]), path)
        source = path.read_bytes().decode()  # valid UTF-8
        page = Page(source)
        self.assertNotIn("\0", source)
        self.assertTrue({"script", "img", "link", "iframe"}.isdisjoint(page.tags))
        for name, value in page.attributes:
            self.assertFalse(name.startswith("on") or name in ("src", "href"), (name, value))
        self.assertNotRegex(source.replace("http://www.w3.org/2000/svg", ""), r"https?://|url\(|@import")
        for figure in (self.run_directory / "figures").iterdir():
            xml.etree.ElementTree.parse(figure)
        return page

    def write_samples(self, name):
        sample = {"step": 1, "task": "countdown", "prompt": "make 7 from 3 4\n", "completion": "?",
                  "reward": 1.0, "why": "right"}
        line = json.dumps(sample).encode().replace(b"?", HOSTILE) + b"\n"
        self.write(name, [], line * 3 + b'{"step": 2, "prompt": "cut o')

    def test_pretraining(self):
        self.write("metrics.jsonl", pretraining_lines(30), b'{"step": 31, "loss": 0.')
        self.write("timings.jsonl", timing_lines(30, 60, 2))
        page = self.report("--price", "3")
        self.assertIn("a<b>&c", page.text)
        self.assertIn("30 steps, 30k tokens", page.text)
        self.assertIn("held-out: 0.1833", page.text)  # 5.5 / 30 of step 30, on hovering
        self.assertIn("MoE layer 1, expert 1: 1.50 of an even load", page.text)
        self.assertIn("60 GFLOP", page.text)   # 30 * 2e9
        self.assertIn("5.000 → 0.167training loss (step 1 → 30)", page.text)
        self.assertIn("$3.00", page.text)      # 30 min on 2 threads at $3
        self.assertEqual({p.stem for p in (self.run_directory / "figures").iterdir()},
                         {"loss", "max_violation", "learning_rate", "grad_norm"})

    def test_what_the_probe_the_guards_and_the_curriculum_say(self):
        lines = list(reinforcement_lines(20))
        lines[4]["warnings"] = [{"name": "entropy_collapse", "text": "entropy <is> low; raise it"}]
        for step, line in enumerate(lines):
            line |= {"curriculum/gcd:1/share": 0.5 + step / 100, "curriculum/gcd:1/success": step / 20}
        lines[-1] |= {"stopped": "held-out accuracy is 0.9", "reward_program/failures": 3}
        self.write("metrics.jsonl", lines)
        (self.run_directory / "probe.json").write_text(json.dumps(
            {"findings": ["nothing <to> learn"], "parts": [
                {"name": "gcd:1", "problems": 16, "pass@1": 0.125, "format_rate": 0.75, "truncated_rate": 0,
                 "mean_length": 33, "signal_groups": 7}]}))
        text = self.report().text
        for says in ("Before the first step", "12.5 %", "nothing <to> learn", "After step 5: entropy <is> low; raise it",
                     "After step 20: the run ended: held-out accuracy is 0.9", "Curriculum", "69.0 %", "95.0 %",
                     "Samples that the reward program failed on"):
            self.assertIn(says, text)
        for damaged in ("", "{", "[]", '{"parts": 3}', '{"parts": [1], "findings": [2]}'):
            (self.run_directory / "probe.json").write_text(damaged)
            self.report()

    def test_a_file_of_problems_has_no_level(self):
        lines = list(reinforcement_lines(10))
        for line in lines:
            for task in line.get("evaluation", []):
                del task["level"]
        self.write("metrics.jsonl", lines)
        text = self.report().text
        self.assertIn("Held-out pass@k: countdown", text)
        self.assertNotIn("level", text)

    def test_reinforcement_with_hostile_completions(self):
        self.write("metrics.jsonl", reinforcement_lines(20))
        self.write_samples("samples.jsonl")
        page = self.report()
        self.assertEqual(page.tags.count("article"), 3)  # the line cut off is passed over
        self.assertIn("</pre></style><script>alert(1)</script> \ufffd\ufffd \u2400 <img src=x "
                      "onerror=alert(1)> &lt; \ufffd rtl</think><answer>7</answer>", page.text)
        self.assertIn("after step 5", page.text)
        self.assertIn("after step 20", page.text)
        self.assertIn("60.0 % (55.0–65.0)", page.text)

    def test_whole_run(self):
        self.write("base/metrics.jsonl", pretraining_lines(30))
        self.write("reinforced/metrics.jsonl", reinforcement_lines(10))
        self.write("base.json", [], json.dumps(evaluation(0.25)).encode())
        self.write("reinforced.json", [], json.dumps(evaluation(0.75)).encode())
        self.write_samples("reinforced/samples.jsonl")
        page = self.report()
        self.assertIn("25.0 % → 75.0 %", page.text)
        self.assertIn("25 → 75", page.text)  # mean length
        self.assertIn("held-out pass@1 (base → reinforced)", page.text)
        self.assertTrue((self.run_directory / "figures/pass_at_k.svg").exists())
        for stage in ("base", "reinforced"):
            self.assertTrue((self.run_directory / stage / "tensorboard/events.out.tfevents.darkhorse").exists())

    def test_half_a_run_and_nonsense(self):
        self.write("base/metrics.jsonl", [{"step": 1, "loss": 3.0}, {"step": "x"}, {"loss": 1}],
                   b"[]\nnull\n\n\xff\n")
        self.write("base.json", [], b"[{}, 3")
        self.write("base/recipe.toml", [], b"[model]\nhidden_size = 'wide'\n")
        page = self.report()
        self.assertIn("1 step, 0 tokens", page.text)

    def test_numbers_so_large_that_a_tick_is_lost_in_their_rounding(self):
        large = 2.0**60
        self.write("metrics.jsonl", [{"step": step, "loss": large + step * 256, "grad_norm": 1e308 * (-1)**step}
                                     for step in (1, 2, 3)])
        self.report()
        self.write("metrics.jsonl", [{"step": 2**62 + step, "loss": 5e-324 * step} for step in (0, 1024)])
        self.report()

    def test_no_run(self):
        run = subprocess.run([PROGRAM, "report", self.run_directory], capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("holds no run", run.stderr.decode())

    def test_tensorboard_records(self):
        self.write("metrics.jsonl", reinforcement_lines(5))
        self.report()
        data = (self.run_directory / "tensorboard/events.out.tfevents.darkhorse").read_bytes()
        payloads, at = [], 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            payloads.append(data[at + 12:at + 12 + size])
            at += size + 16
        self.assertEqual(at, len(data))
        self.assertEqual(len(payloads), 6)
        self.assertTrue(re.search(rb"eval/countdown:1/pass@1\x15" + re.escape(struct.pack("<f", 0.6)),
                                  payloads[5]))


if __name__ == "__main__":
    unittest.main()
