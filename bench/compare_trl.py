#!/usr/bin/env python3
"""darkhorse's reinforcement learning beside TRL's GRPOTrainer: the same checkpoint, the same problems,
the same group size and token budget, the same cores.

    python bench/compare_trl.py --model runs/countdown/base/checkpoints/step-00000900
    python bench/compare_trl.py --model SmolLM2-135M-Instruct.Q4_1.gguf --problems products.jsonl --prompts 16 --group 8 --max-tokens 48

Needs torch, transformers, trl and datasets, in an environment of their own. The checkpoint is one of
darkhorse's that knows countdown, all of whose weights learn, in f32. With --problems it is a published
model, asked in its own template for a number alone, and an adapter learns (LoRA, the same rank, scale
and layers; peft is needed too); --precision is what TRL computes in, while darkhorse keeps its
defaults, the file's own blocks among them. Both sides take --steps optimizer steps on --prompts
problems times --group samples of up to --max-tokens tokens on --threads threads; the figure is samples a
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


INSTRUCTION = "Answer with the number only."
ADAPTER = {"rank": 16, "alpha": 32}


def last_number_reward(completion, answer):
    numbers = re.findall(r"-?\d+(?:\.\d+)?", completion.replace(",", ""))
    return 1.0 if numbers and float(numbers[-1]) == float(answer) else 0.0


def darkhorse_seconds(args, work):
    recipe = os.path.join(work, "recipe.toml")
    with open(recipe, "w") as file:
        file.write(f"""[rl]
tasks = {"[]" if args.problems else '["countdown:1"]'}
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
        if args.problems:
            file.write(f"""[prompt]
instruction = "{INSTRUCTION}"
[adapter]
kind = "lora"
rank = {ADAPTER["rank"]}
alpha = {ADAPTER["alpha"]}
""")
    out = tempfile.mkdtemp(dir=work)
    task = ["--problems", args.problems, "--rule", "numeric"] if args.problems else []
    darkhorse(args, "reinforce", recipe, "--model", args.model, "--out", out, *task)
    with open(os.path.join(out, "timings.jsonl")) as file:
        seconds = [json.loads(line)["seconds"] for line in file]
    with open(os.path.join(out, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return seconds[1:], [line["completions/mean_length"] for line in lines][1:], [line["reward"] for line in lines][1:]


def countdown_for_trl(args, _):
    """Model, tokenizer, rows and reward of a checkpoint of darkhorse's."""
    import torch
    from transformers import DeepseekV3ForCausalLM, PreTrainedTokenizerFast

    problems = [darkhorse(args, "task", "show", "countdown", "--seed", "1", "--index", str(i))["prompt"]
                for i in range(args.prompts * args.steps)]
    config = json.load(open(os.path.join(args.model, "config.json")))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(args.model, "tokenizer.json"))
    tokenizer.bos_token = tokenizer.convert_ids_to_tokens(config["bos_token_id"])
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(config["eos_token_id"])
    tokenizer.pad_token = tokenizer.eos_token
    model = DeepseekV3ForCausalLM.from_pretrained(args.model, dtype=torch.float32)

    def reward(prompts, completion_ids, **_):
        # The tags are special tokens, which the trained's own text lacks.
        texts = [tokenizer.decode(ids).split(tokenizer.eos_token)[0] for ids in completion_ids]
        return countdown_reward(prompts, texts)

    return model, tokenizer, [{"prompt": tokenizer.bos_token + p} for p in problems], reward, None


def published_for_trl(args, work):
    """The same of a published model: its adapter learns."""
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = os.path.join(work, "folder")  # transformers trains no model that it read from a GGUF file
    subprocess.run([args.darkhorse, "convert", args.model, folder, "--to", "hf-f32"], check=True, stdout=subprocess.DEVNULL)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, args.precision))
    with open(args.problems) as lines:
        rows = [json.loads(line) for line in lines]
    rows = [{"prompt": [{"role": "user", "content": row["prompt"] + "\n" + INSTRUCTION}], "answer": row["answer"]} for row in rows]

    def reward(completions, answer, **_):
        return [last_number_reward(text[0]["content"], right) for text, right in zip(completions, answer)]

    adapter = LoraConfig(r=ADAPTER["rank"], lora_alpha=ADAPTER["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
    return model, tokenizer, rows, reward, adapter


def trl_seconds(args, work):
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)
    model, tokenizer, rows, reward, adapter = (published_for_trl if args.problems else countdown_for_trl)(args, work)
    tokenizer.padding_side = "left"
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
        model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows), reward_funcs=reward, callbacks=[Clock()],
        peft_config=adapter,
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
    parser.add_argument("--problems", help="JSON lines of prompt and answer, for a published model")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="TRL's, of a published model's weights and activations")
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
