#!/usr/bin/env python3
"""Compares the most probable continuation of prompts with that of llama.cpp, token by token, in f32.

  python compare_greedy.py DARKHORSE MODEL.gguf MODEL_IN_F32.gguf [--tokens N] [--threads N] [--prompt TEXT]...

MODEL_IN_F32: the same file, made by `llama-quantize --allow-requantize MODEL.gguf MODEL_IN_F32.gguf F32`, for llama.cpp computes
blocks with rounded activations. darkhorse reads MODEL with --weights f32. Where the two part, how near the two tokens are in ours is
told, and the exit code is 1.
"""
import argparse
import itertools
import json
import subprocess
import sys

PROMPTS = ["Once upon a time", "The history of computing began", "def quicksort(items):\n"]


def by_llama(model, prompt, tokens):
    return list(itertools.islice(model.generate(prompt, temp=0.0, repeat_penalty=1.0), tokens))


def by_darkhorse(args, prompt):
    command = [args.darkhorse, "--threads", str(args.threads), "generate", "--model", args.model, "--weights", "f32", "--temperature", "0",
               "--max-tokens", str(args.tokens), "--prompt", prompt, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["completions"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("darkhorse")
    parser.add_argument("model")
    parser.add_argument("in_f32")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", action="append")
    args = parser.parse_args()
    import llama_cpp
    F32 = 0  # of ggml's types
    model = llama_cpp.Llama(args.in_f32, n_ctx=args.tokens + 64, n_threads=args.threads, n_threads_batch=args.threads, type_k=F32, type_v=F32,
                            flash_attn=False, verbose=False)
    parted = False
    for prompt in args.prompt or PROMPTS:
        ours = by_darkhorse(args, prompt)
        theirs = by_llama(model, model.tokenize(prompt.encode(), add_bos=True, special=False), args.tokens)
        # Ours ends at an end mark, theirs goes on.
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ours["ids"], theirs)))
        if same == len(ours["ids"]):
            print(f"{prompt!r}: {same} tokens the same")
        else:
            parted = True
            print(f"{prompt!r}: token {same} is {ours['ids'][same]} here, of log probability {ours['logprobs'][same]:.6f}, and {theirs[same]} there")
    sys.exit(parted)


if __name__ == "__main__":
    main()
