#!/usr/bin/env python3
"""Checks that transformers computes with an exported checkpoint what darkhorse does.

    python tools/check_export_in_transformers.py MODEL [--darkhorse build/darkhorse] [--prompt TEXT]

Lets `darkhorse generate` sample from the checkpoint directory, then has transformers compute the
logits of the very same tokens and compares every token's log-probability, which takes in all
logits of its place. The prompt is tokenized, and the completion spelt, by both.

Needs torch and transformers; run by hand.

Both sides compute in f32. A logit goes through one sum after another; with n the terms of all sums
along that way and u = 2^-24, n u times the largest logit allows each term one rounding, without
amplification: coarse, but a wrong formula or layout is off by far more.
"""

import argparse
import json
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def sample(args):
    command = [args.darkhorse, "generate", "--model", args.model, "--samples", str(args.samples),
               "--max-tokens", str(args.max_tokens), "--temperature", "1", "--special", "--json"]
    if args.prompt:
        command += ["--prompt", args.prompt]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(run.stdout)["completions"]


def terms_of_sums(c):
    """Inner dimensions added up along the way of one token, attention over positions left out."""
    feed_forward = max(c.intermediate_size, c.moe_intermediate_size * (c.n_shared_experts or 1))
    layer = (4 * c.hidden_size + 2 * (c.q_lora_rank or 0) + 2 * c.kv_lora_rank + c.qk_head_dim +
             c.num_attention_heads * c.v_head_dim + feed_forward)
    return c.num_hidden_layers * layer + 2 * c.hidden_size + c.vocab_size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--darkhorse", default="build/darkhorse")
    parser.add_argument("--prompt", default="")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=64)
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model, info = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        sys.exit(f"the checkpoint does not load: {info}")
    config = model.config
    prompt = tokenizer.encode(args.prompt, add_special_tokens=False)
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if config.bos_token_id != ends[0]:  # else documents have no mark at their begin
        prompt.insert(0, config.bos_token_id)
    prompt = prompt or ends[:1]
    good = True
    for completion in sample(args):
        ids = completion["ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1:-1].double()
        theirs = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        difference = (theirs - torch.tensor(completion["logprobs"])).abs().max().item()
        bound = terms_of_sums(config) * 2.0**-24 * logits.abs().max().item()
        spelt = tokenizer.decode(ids) == completion["text"]
        print(f"{len(ids):5d} tokens, log-probability {theirs.sum().item():.4f}, largest difference of a "
              f"token's {difference:.1e}, allowed {bound:.1e}, text {'the same' if spelt else 'DIFFERS'}")
        good = good and spelt and difference <= bound
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
