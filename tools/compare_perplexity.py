#!/usr/bin/env python3
"""Compares darkhorse's perplexity of a text with that of llama.cpp or of `transformers`.

  python compare_perplexity.py DARKHORSE TEXT MODEL... [--against llama|transformers] [--window N]
                               [--max-tokens N] [--threads N]

MODEL: a GGUF file; for transformers also a folder. Both measure what llama.cpp's perplexity tool does:
windows of N tokens, each on its second half, the beginning mark in the place of its first token where
the model has one. llama.cpp (through llama-cpp-python) computes in the bits of the file, as darkhorse
does by itself; transformers in f32, and so then does darkhorse. Beyond 0.5 % the exit code is 1.
"""
import argparse
import json
import math
import os
import subprocess
import sys

import numpy as np

LARGEST_DIFFERENCE = 0.005


def nll_of(logits, targets):
    """-log p of each target [rows], from logits [rows, vocabulary]."""
    logits = logits.astype(np.float64)
    top = logits.max(-1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    return total - logits[np.arange(len(targets)), targets]


def measure(tokens, bos, window, max_tokens, nll_of_window):
    """Mean and standard error over the judged tokens; nll_of_window(tokens, first) judges those
    behind `first`."""
    nll = []
    for begin in range(0, min(len(tokens), max_tokens) // window * window, window):
        piece = list(tokens[begin:begin + window])
        if bos is not None:
            piece[0] = bos
        nll.append(nll_of_window(piece, window // 2))
    nll = np.concatenate(nll)
    return nll.mean(), math.sqrt(nll.var() / (len(nll) - 1)), len(nll)


def by_llama(path, text, args):
    import llama_cpp
    model = llama_cpp.Llama(path, n_ctx=args.window, n_batch=args.window, n_ubatch=args.window,
                            logits_all=True, n_threads=args.threads, n_threads_batch=args.threads,
                            verbose=False)
    tokens = model.tokenize(text, add_bos=True, special=False)
    bos = tokens[0] if llama_cpp.llama_vocab_get_add_bos(model._model.vocab) else None
    vocabulary = model.n_vocab()

    def nll_of_window(piece, first):
        model.reset()
        model.eval(piece)
        # Of the context itself: a second copy of a window's logits is not needed.
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(model.ctx), (len(piece), vocabulary))
        return np.concatenate([nll_of(logits[i:min(i + 32, len(piece) - 1)],
                                      piece[i + 1:min(i + 32, len(piece) - 1) + 1])
                               for i in range(first, len(piece) - 1, 32)])

    return measure(tokens, bos, args.window, args.max_tokens, nll_of_window)


def by_transformers(path, text, args):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_grad_enabled(False)
    torch.set_num_threads(args.threads)
    folder, name = os.path.split(path)
    where = (folder, dict(gguf_file=name)) if os.path.isfile(path) else (path, {})
    model = AutoModelForCausalLM.from_pretrained(where[0], dtype=torch.float32, **where[1]).eval()
    tokenizer = AutoTokenizer.from_pretrained(where[0], **where[1])
    tokens = tokenizer(text.decode())["input_ids"]
    start = tokenizer.build_inputs_with_special_tokens([])
    bos = start[0] if start and start[0] == tokenizer.bos_token_id else None

    def nll_of_window(piece, first):
        logits = model(torch.tensor([piece]), logits_to_keep=len(piece) - first).logits[0, :-1]
        return np.concatenate([nll_of(logits[i:i + 32].numpy(), piece[first + i + 1:first + i + 33])
                               for i in range(0, len(logits), 32)])

    return measure(tokens, bos, args.window, args.max_tokens, nll_of_window)


def by_darkhorse(path, args):
    command = [args.darkhorse, "evaluate", "--model", path, "--text", args.text, "--window",
               str(args.window), "--max-tokens", str(args.max_tokens), "--json"]
    if args.against == "transformers":
        command += ["--weights", "f32"]
    ours = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["text"]
    return ours["loss"], ours["perplexity_error"] / ours["perplexity"], ours["tokens"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("darkhorse")
    parser.add_argument("text")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--against", choices=["llama", "transformers"], default="llama")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--max-tokens", type=int, default=1 << 20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with open(args.text, "rb") as file:
        text = file.read()
    failed = False
    for path in args.models:
        ours = by_darkhorse(path, args)
        theirs = (by_llama if args.against == "llama" else by_transformers)(path, text, args)
        difference = math.exp(ours[0] - theirs[0]) - 1
        shown = [f"{math.exp(loss):.4f} ± {math.exp(loss) * error:.4f}" for loss, error, _ in (ours, theirs)]
        print(f"{os.path.basename(path)}: {ours[2]} tokens judged, darkhorse {shown[0]}, {args.against} "
              f"{shown[1]}: {100 * difference:+.3f} %", flush=True)
        if ours[2] != theirs[2]:
            print(f"{args.against} judges {theirs[2]} tokens")
        failed |= abs(difference) > LARGEST_DIFFERENCE or ours[2] != theirs[2]
    sys.exit(failed)


if __name__ == "__main__":
    main()
