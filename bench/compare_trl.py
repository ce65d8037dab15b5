#!/usr/bin/env python3
"""darkhorse's reinforcement learning beside TRL's GRPOTrainer: the same checkpoint, the same problems,
the same group size and token budget, the same cores.

    python bench/compare_trl.py --model runs/countdown/base/checkpoints/step-00000900

Needs torch, transformers, trl and datasets, in an environment of their own. The checkpoint is one of
darkhorse's that knows countdown. Both sides take --steps optimizer steps on --prompts problems times
--group samples of up to --max-tokens tokens, in f32 on --threads threads; the figure is samples a
minute: sampling, scoring and the update, without evaluation. The first step of each side warms up and
is not counted. TRL's generation stops when its longest sample ends, as darkhorse's does.
"""

import argparse
import fractions
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ANSWER = re.compile(r"<think>.*</think>\s*<answer>([^<]*)</answer>\s*$", re.DOTALL)


def darkhorse(args, *command):
    run = subprocess.run([args.darkhorse, "--threads", str(args.threads), *command, "--json"], stdout=subprocess.PIPE,
                         stderr=None if args.verbose else subprocess.DEVNULL, text=True)
    if run.returncode:
        sys.exit(f"failed: {' '.join(run.args)}")
    return json.loads(run.stdout)


def value(expression):
    """The exact value of + - * / and brackets; None where it is no such expression."""
    tokens = re.findall(r"\d+|[-+*/()]", expression)
    if "".join(tokens) != expression.replace(" ", ""):
        return None
    position = 0

    def peek():
        return tokens[position] if position < len(tokens) else None

    def take():
        nonlocal position
        position += 1
        return tokens[position - 1]

    def factor():
        if peek() == "(":
            take()
            inner = total()
            if peek() != ")":
                raise ValueError
            take()
            return inner
        if peek() is None or not peek().isdigit():
            raise ValueError
        return fractions.Fraction(int(take()))

    def product():
        result = factor()
        while peek() in ("*", "/"):
            result = result * factor() if take() == "*" else result / factor()
        return result

    def total():
        result = product()
        while peek() in ("+", "-"):
            result = result + product() if take() == "+" else result - product()
        return result

    try:
        result = total()
        return result if position == len(tokens) else None
    except (ValueError, ZeroDivisionError):
        return None


def countdown_reward(prompts, texts):
    """1 for an expression of exactly the prompt's numbers that makes its target, 0.1 for the form."""
    rewards = []
    for prompt, completion in zip(prompts, texts):
        target, *numbers = map(int, re.findall(r"\d+", prompt))
        match = ANSWER.search(completion)
        if not match:
            rewards.append(0.0)
            continue
        used = sorted(map(int, re.findall(r"\d+", match[1])))
        right = used == sorted(numbers) and value(match[1].strip()) == target
        rewards.append(1.0 if right else 0.1)
    return rewards


def darkhorse_seconds(args, work):
    recipe = os.path.join(work, "recipe.toml")
    with open(recipe, "w") as file:
        file.write(f"""[rl]
tasks = ["countdown:1"]
steps = {args.steps}
prompts_per_step = {args.prompts}
group_size = {args.group}
max_tokens = {args.max_tokens}
max_refills = 0
evaluate_every = 0
checkpoint_every = 1000
[optimizer]
learning_rate = {args.learning_rate}
""")
    out = tempfile.mkdtemp(dir=work)
    darkhorse(args, "reinforce", recipe, "--model", args.model, "--out", out)
    with open(os.path.join(out, "timings.jsonl")) as file:
        seconds = [json.loads(line)["seconds"] for line in file]
    with open(os.path.join(out, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return seconds[1:], [line["completions/mean_length"] for line in lines][1:], [line["reward"] for line in lines][1:]


def trl_seconds(args, work):
    import torch
    from datasets import Dataset
    from transformers import DeepseekV3ForCausalLM, PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)
    problems = [darkhorse(args, "task", "show", "countdown", "--seed", "1", "--index", str(i))["prompt"]
                for i in range(args.prompts * args.steps)]
    config = json.load(open(os.path.join(args.model, "config.json")))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(args.model, "tokenizer.json"))
    tokenizer.bos_token = tokenizer.convert_ids_to_tokens(config["bos_token_id"])
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(config["eos_token_id"])
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    dataset = Dataset.from_list([{"prompt": tokenizer.bos_token + p} for p in problems])
    model = DeepseekV3ForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    def reward(prompts, completion_ids, **_):
        # The tags are special tokens, which the trained's own text lacks.
        texts = [tokenizer.decode(ids).split(tokenizer.eos_token)[0] for ids in completion_ids]
        return countdown_reward(prompts, texts)

    samples = args.prompts * args.group
    if samples % args.micro_batch:
        sys.exit(f"--micro-batch must divide prompts * group = {samples}")
    begun, seconds, lengths, rewards = [0.0], [], [], []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            begun[0] = time.perf_counter()

        def on_step_end(self, *_, **__):
            seconds.append(time.perf_counter() - begun[0])

        def on_log(self, _, __, ___, logs=None, **____):
            if logs and "completions/mean_length" in logs:
                lengths.append(float(logs["completions/mean_length"]))
                rewards.append(float(logs["reward"]))

    trained = GRPOTrainer(
        model=model, processing_class=tokenizer, train_dataset=dataset, reward_funcs=reward, callbacks=[Clock()],
        args=GRPOConfig(
            output_dir=os.path.join(work, "trl"), max_steps=args.steps, learning_rate=args.learning_rate, beta=0.0,
            per_device_train_batch_size=args.micro_batch, gradient_accumulation_steps=samples // args.micro_batch,
            num_generations=args.group, max_completion_length=args.max_tokens, temperature=1.0,
            loss_type="dapo", bf16=False, fp16=False, use_cpu=True, gradient_checkpointing=False, report_to=[], logging_steps=1,
            save_strategy="no", disable_tqdm=not args.verbose, dataloader_pin_memory=False))
    trained.train()
    return seconds[1:], lengths[1:], rewards[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--darkhorse", default="build/darkhorse")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--group", type=int, default=12)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--micro-batch", type=int, default=32, help="samples in one backward pass of TRL's")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    samples = args.prompts * args.group
    with tempfile.TemporaryDirectory() as work:
        rows = {"darkhorse": darkhorse_seconds(args, work), "trl": trl_seconds(args, work)}
    result = {}
    for name, (seconds, lengths, rewards) in rows.items():
        result[name] = {"samples_per_minute": 60 * samples / statistics.median(seconds), "seconds": seconds,
                        "mean_length": statistics.mean(lengths), "reward": statistics.mean(rewards)}
    result["ratio"] = result["darkhorse"]["samples_per_minute"] / result["trl"]["samples_per_minute"]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
