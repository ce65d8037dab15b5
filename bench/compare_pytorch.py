#!/usr/bin/env python3
"""darkhorse beside PyTorch and transformers: the same model, the same machine, runs in turn.

    python bench/compare_pytorch.py s --text TEXT --vocab-size 4096
    python bench/compare_pytorch.py m --text TEXT --vocab-size 16384 --parts check train
    python bench/compare_pytorch.py bench/shapes/smollm2-135m.toml --precisions f32 bf16

Needs torch, transformers and safetensors, in an environment of their own; darkhorse never needs
them. TEXT is any text file with enough words for the vocabulary. Parts:

check     darkhorse makes a tokenizer, shards and a checkpoint of the recipe; the PyTorch model loads
          it, must have as many parameters and the same loss on the same held-out tokens.
train     training tokens/s with AdamW: forward and backward of micro-batches, clipping, update. darkhorse
          in f32, and with --precisions f32 bf16 in both; PyTorch in --modes: in f32 eager or compiled,
          under bf16 autocast, or with weights, gradients and moments in bf16.
generate  decoding tokens/s with a key/value cache; transformers' DeepseekV3ForCausalLM.

A recipe of another architecture (bench/shapes/) is a shape: transformers' own model of random weights must have as many parameters,
and is trained beside darkhorse's; no text is needed.

f32 where nothing else is said, and the same number of threads everywhere. A step is computed on both sides as micro-batches
times the median seconds of one, plus the median seconds of an update. Where a choice is open it is
the one that favours PyTorch: gradients are not added to older ones, and its generation is greedy.
"""

import argparse
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import time
import tomllib

import torch
from deepseek_torch import Model
from safetensors.torch import load_file

SEQUENCE = 512


def darkhorse(args, *command):
    run = subprocess.run([args.darkhorse, *command, "--json"], stdout=subprocess.PIPE, text=True,
                         stderr=subprocess.DEVNULL if args.quiet else None,
                         env=os.environ | {"OMP_NUM_THREADS": str(args.threads)})
    if run.returncode:
        sys.exit(f"failed: {' '.join(run.args)}")
    return json.loads(run.stdout)


def seconds_of(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def cpu_seconds():
    """CPU time spent so far: by everybody on the machine (and stolen from it), and by us."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


def undisturbed(args, measure):
    """measure(), again as long as others took more than args.noise of the CPUs meanwhile."""
    for _ in range(args.tries):
        busy, own = cpu_seconds()
        begin = time.perf_counter()
        result = measure()
        seconds = time.perf_counter() - begin
        now_busy, now_own = cpu_seconds()
        others = (now_busy - busy - now_own + own) / (seconds * os.cpu_count())
        if others <= args.noise:
            return result
        print(f"others took {others:.0%} of the CPUs; measuring again", file=sys.stderr)
    sys.exit("the machine is not quiet enough; see --noise and --tries")


def make_checkpoint(args):
    """Tokenizer, shards and a checkpoint after one small step, in args.work unless already there."""
    path = lambda name: os.path.join(args.work, name)
    if not os.path.exists(path("checkpoint")):
        os.makedirs(args.work, exist_ok=True)
        darkhorse(args, "tokenizer", "train", args.text, "--split-text", "--vocab-size",
                  str(args.vocab_size), "--out", path("tokenizer.json"))
        darkhorse(args, "data", "prepare", args.text, "--split-text", "--tokenizer",
                  path("tokenizer.json"), "--out", path("data"), "--validation-fraction", "0.05")
        run = darkhorse(args, "pretrain", args.recipe, "--data", path("data"), "--out", path("run"),
                        *settings(f"train.steps=1", f"train.sequence_length={SEQUENCE}",
                                  f"train.tokens_per_step={8 * SEQUENCE}",
                                  f"train.micro_batch_tokens={SEQUENCE}",
                                  "train.evaluate_tokens=512", "optimizer.optimizer=adamw"))
        os.symlink(os.path.abspath(run["checkpoint"]), path("checkpoint"))
    with open(path("checkpoint/config.json")) as file:
        config = json.load(file)
    if config["vocab_size"] != args.vocab_size:
        sys.exit(f"{args.text} gives a vocabulary of {config['vocab_size']}: take a longer text, "
                 f"--vocab-size {config['vocab_size']} or another --work")
    return config


def settings(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def held_out_pieces(path, limit):
    """The pieces of documents that darkhorse's evaluation computes: docs/data.md, Token shards."""
    with open(path, "rb") as file:
        data = file.read()
    bits = struct.unpack_from("<I", data, 12)[0]
    tokens, documents = struct.unpack_from("<QQ", data, len(data) - 32)
    ids = struct.unpack_from(f"<{tokens}{'H' if bits == 16 else 'I'}", data, 40)
    begins = struct.unpack_from(f"<{documents + 1}Q", data, len(data) - 32 - 8 * (documents + 1))
    cuts = sorted({*begins, *range(0, tokens, SEQUENCE)})
    ends = set(begins)
    for begin, end in zip(cuts, cuts[1:]):
        if begin >= min(limit, tokens // SEQUENCE * SEQUENCE):
            return
        last = end if end in ends else end + 1  # a piece's last token has a target if cut
        inputs, targets = ids[begin:last - 1], ids[begin + 1:last]
        if targets:
            yield torch.tensor([inputs]), torch.tensor([targets])


@torch.no_grad()
def check(args, model):
    checkpoint = os.path.join(args.work, "checkpoint")
    info = darkhorse(args, "info", "--model", checkpoint)
    count = sum(p.numel() for p in model.parameters())
    model.load_hugging_face(load_file(os.path.join(checkpoint, "model.safetensors")))
    limit = 16 * SEQUENCE
    ours = darkhorse(args, "evaluate", "--model", checkpoint, "--data",
                     os.path.join(args.work, "data"), "--max-tokens", str(limit))
    total = tokens = 0
    for inputs, targets in held_out_pieces(os.path.join(args.work, "data", "val.bin"), limit):
        total += model(inputs, targets).item() * targets.numel()
        tokens += targets.numel()
    result = {"parameters": count, "darkhorse_parameters": info["parameters"], "tokens": tokens,
              "darkhorse_tokens": ours["tokens"], "loss": total / tokens,
              "darkhorse_loss": ours["loss"]}
    print(f"check: {result}", file=sys.stderr)
    if count != info["parameters"] or tokens != ours["tokens"]:
        sys.exit("not the same model or not the same tokens")
    if not math.isclose(result["loss"], ours["loss"], abs_tol=1e-4):
        sys.exit("not the same loss")
    return result


class Shape(torch.nn.Module):
    """transformers' model of a recipe's shape, as a training loss; fields have the same names."""

    def __init__(self, fields):
        from transformers import AutoConfig, AutoModelForCausalLM

        super().__init__()
        fields = {name: value for name, value in fields.items() if name not in (
            "kv_lora_rank", "first_k_dense_replace", "num_nextn_predict_layers")}
        config = AutoConfig.for_model(**fields)
        config.rope_parameters = {"rope_type": "default", "rope_theta": fields["rope_theta"]}
        self.model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        self.vocabulary = config.vocab_size

    def forward(self, tokens, targets):
        logits = self.model(tokens, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class TorchTraining:
    """One way of training: "eager" or "compile", alone or behind "autocast-" or "bf16-"."""

    def __init__(self, model, mode, args):
        self.model, self.args = model, args
        self.autocast = mode.startswith("autocast")
        if mode.startswith("bf16"):
            model.to(torch.bfloat16)
        self.call = torch.compile(model) if mode.endswith("compile") else model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95),
                                           weight_decay=0.1, fused=True)
        shape = (args.micro_batch_tokens // SEQUENCE, SEQUENCE)
        generator = torch.Generator().manual_seed(1)
        vocabulary = getattr(model, "vocabulary", None) or model.embed_tokens.num_embeddings
        self.tokens = torch.randint(vocabulary, shape, generator=generator)
        self.targets = torch.randint(vocabulary, shape, generator=generator)
        self.gradient, self.update = [], []
        self._measure()  # warms up

    def _measure(self):
        self.optimizer.zero_grad(set_to_none=True)
        return seconds_of(self._gradient), seconds_of(self._update)

    def _gradient(self):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            loss = self.call(self.tokens, self.targets)
        loss.backward()

    def round(self):
        gradient, update = undisturbed(self.args, self._measure)
        self.gradient.append(gradient)
        self.update.append(update)

    def _update(self):
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()

    def result(self):
        gradient, update = statistics.median(self.gradient), statistics.median(self.update)
        step = self.args.tokens_per_step / self.args.micro_batch_tokens * gradient + update
        return {"tokens_per_second": self.args.tokens_per_step / step, "step_seconds": step,
                "gradient_seconds": self.gradient, "update_seconds": self.update}


def train(args, make_model):
    sides = {}
    for mode in args.modes:
        print(f"preparing {mode}", file=sys.stderr)
        try:
            sides[mode] = TorchTraining(make_model(), mode, args)
        except Exception as error:  # torch.compile fails in many ways where a compiler is missing
            if mode == "eager":
                raise
            print(f"{mode} does not work here: {error}", file=sys.stderr)
    ours = {precision: [] for precision in args.precisions}

    def bench(precision):
        return darkhorse(
            args, "bench", args.recipe, "--rounds", "3", "--batches", "1", "--new-tokens", "8",
            *settings(f"model.vocab_size={args.vocab_size}", f"train.sequence_length={SEQUENCE}",
                      f"train.tokens_per_step={args.tokens_per_step}",
                      f"train.micro_batch_tokens={args.darkhorse_micro_batch_tokens}",
                      f"train.precision={precision}", "optimizer.optimizer=adamw"))

    for _ in range(args.alternations):
        for precision, runs in ours.items():
            runs.append(undisturbed(args, lambda: bench(precision)))
        for side in sides.values():
            side.round()
            side.round()
    result = {}
    for precision, runs in ours.items():
        of_runs = median_of([run["training"] for run in runs])
        of_runs["peak_gflops"] = statistics.median(run["peak_gflops"] for run in runs)
        of_runs["runs"] = [run["training"]["tokens_per_second"] for run in runs]
        result[f"darkhorse {precision}"] = of_runs
    return result | {f"torch {mode}": side.result() for mode, side in sides.items()}


def median_of(runs):
    return {key: statistics.median(run[key] for run in runs) for key, value in runs[0].items() if isinstance(value, (int, float))}


def decoding_roofline(args, config, batch):
    """Tokens/s that neither the peak nor the memory bandwidth allows to exceed (RESULTS.md)."""
    machine = undisturbed(args, lambda: darkhorse(args, "info"))
    context = args.prompt_tokens + args.new_tokens // 2
    model = darkhorse(args, "info", "--model", os.path.join(args.work, "checkpoint"), "--context",
                      str(2 * context - 1))  # a document whose mean context is this
    hidden, experts = config["hidden_size"], config["n_routed_experts"]
    moe_layers = max(0, config["num_hidden_layers"] - config["first_k_dense_replace"])
    routed = moe_layers * experts * 3 * hidden * config["moe_intermediate_size"]
    unvisited = (1 - config["num_experts_per_tok"] / experts) ** batch
    embedding = 0 if config["tie_word_embeddings"] else config["vocab_size"] * hidden
    read = (4 * (model["parameters"] - embedding - unvisited * routed) +
            batch * context * model["expanded_cache_bytes_per_token"])
    compute = batch * model["forward_flops_per_token"] / (machine["peak_gflops"] * 1e9)
    memory = read / (machine["bandwidth_gb_s"] * 1e9)
    return {"tokens_per_second": batch / max(compute, memory), "machine": machine,
            "binds": "compute" if compute > memory else "memory"}


def generate(args, config):
    from transformers import DeepseekV3ForCausalLM

    model = DeepseekV3ForCausalLM.from_pretrained(os.path.join(args.work, "checkpoint"),
                                                  dtype=torch.float32)
    if args.experts:
        model.set_experts_implementation(args.experts)
    model.eval()
    model.generation_config.eos_token_id = None  # always to the full length

    @torch.inference_mode()
    def run(prompt, new_tokens):
        return seconds_of(lambda: model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new_tokens,
            do_sample=False, use_cache=True, pad_token_id=0))

    result = {}
    for batch in args.batches:
        prompt = torch.randint(2, config["vocab_size"], (batch, args.prompt_tokens))
        run(prompt, 2)
        ours, theirs = [], []
        for _ in range(args.alternations):
            bench = undisturbed(args, lambda: darkhorse(
                args, "bench", args.recipe, "--rounds", "1", "--batches", str(batch),
                "--prompt-tokens", str(args.prompt_tokens), "--new-tokens", str(args.new_tokens),
                *settings(f"model.vocab_size={args.vocab_size}",
                          f"train.micro_batch_tokens={SEQUENCE}")))
            ours.append(bench["decoding_tokens_per_second"][str(batch)])
            # The prompts cost the same both times, so the difference is decoding.
            seconds = undisturbed(
                args, lambda: run(prompt, 1 + args.new_tokens) - run(prompt, 1))
            theirs.append(batch * args.new_tokens / seconds)
        result[f"batch {batch}"] = {
            "darkhorse": statistics.median(ours), "transformers": statistics.median(theirs),
            "darkhorse_runs": ours, "transformers_runs": theirs,
            "roofline": decoding_roofline(args, config, batch)}
    return result


def print_table(result):
    training = result.get("train", {})
    ours = {name: side["tokens_per_second"] for name, side in training.items()
            if name.startswith("darkhorse")}
    for name, side in training.items():
        ratios = ", ".join(f"{own.removeprefix('darkhorse ')} {speed / side['tokens_per_second']:.2f}x"
                           for own, speed in ours.items())
        print(f"training  {name:22} {side['tokens_per_second']:10.0f} tokens/s  darkhorse is {ratios}")
    for batch, row in result.get("generate", {}).items():
        print(f"decoding  {batch:14} darkhorse {row['darkhorse']:.0f}, transformers "
              f"{row['transformers']:.0f} tokens/s: {row['darkhorse'] / row['transformers']:.2f}x; "
              f"{row['darkhorse'] / row['roofline']['tokens_per_second']:.0%} of the roofline")


def shape_of(args):
    """The model's fields where the recipe is a shape for transformers, checked; else None."""
    if not args.recipe.endswith(".toml"):
        return None
    with open(args.recipe, "rb") as file:
        recipe = tomllib.load(file)
    shape = recipe["model"]
    if "model_type" not in shape:
        return None
    args.vocab_size, args.tokens_per_step = shape["vocab_size"], recipe["train"]["tokens_per_step"]
    args.micro_batch_tokens = args.darkhorse_micro_batch_tokens = recipe["train"]["micro_batch_tokens"]
    with torch.device("meta"):
        count = sum(p.numel() for p in Shape(shape).parameters())
    ours = darkhorse(args, "info", args.recipe)["parameters"]
    if count != ours:
        sys.exit(f"not the same model: {count} and {ours} parameters")
    return shape


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--text", help="to train the tokenizer and the step on")
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--parts", nargs="+", default=["check", "train", "generate"],
                        choices=["check", "train", "generate"])
    parser.add_argument("--darkhorse", default="build/darkhorse")
    parser.add_argument("--work", help="folder for the checkpoint; default compare-RECIPE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["f32"], choices=["f32", "bf16"],
                        help="of darkhorse in training")
    parser.add_argument("--modes", nargs="+", default=["eager", "compile"],
                        choices=[kind + mode for kind in ("", "autocast-", "bf16-")
                                 for mode in ("eager", "compile")], help="of PyTorch in training")
    parser.add_argument("--tokens-per-step", type=int, default=16384)
    parser.add_argument("--micro-batch-tokens", type=int, default=4096, help="of PyTorch")
    parser.add_argument("--darkhorse-micro-batch-tokens", type=int, default=4096)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 128])
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--experts", default="",
                        help="transformers' experts: eager, grouped_mm, batched_mm; default its own")
    parser.add_argument("--noise", type=float, default=0.05,
                        help="share of the CPUs that other processes may take during a measurement")
    parser.add_argument("--tries", type=int, default=20, help="before giving up on a measurement")
    parser.add_argument("--json", help="file to write everything to")
    parser.add_argument("--quiet", action="store_true", help="hide darkhorse's progress")
    args = parser.parse_args()
    args.work = args.work or f"compare-{os.path.basename(args.recipe).removesuffix('.toml')}"
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)

    result = {"recipe": args.recipe, "torch": torch.__version__, "threads": args.threads}
    if shape := shape_of(args):
        result["train"] = train(args, lambda: Shape(shape))
    else:
        if not args.text:
            parser.error("--text is needed")
        config = make_checkpoint(args)
        if "check" in args.parts:
            result["check"] = check(args, Model(config))
        if "train" in args.parts:
            result["train"] = train(args, lambda: Model(config))
        if "generate" in args.parts:
            result["generate"] = generate(args, config)
    print_table(result)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
