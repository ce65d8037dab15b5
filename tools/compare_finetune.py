#!/usr/bin/env python3
"""Compares what `darkhorse finetune` learns, and its loss before the first step, with transformers: chats through its chat
template, tokens of the assistant's turns found by rendering each prompt, mean -log p over all of them in f32.

compare_finetune.py PROGRAM MODEL CHATS.jsonl        MODEL: a folder or a GGUF file; CHATS: rows of `messages`, or of
`question` and `answer`, none of whose turns has a thought

Needs torch and transformers. The step's learning rate is 1e-30, and its batch all chats."""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def messages_of(row):
    if "messages" in row:
        return row["messages"]
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]


def losses_of(model, tokenizer, messages, stops):
    """-log p of each token of the assistant's turns, and how many tokens the chat has up to the last of them."""
    whole, learned, last = None, [], 0
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(messages[:i], add_generation_prompt=True, tokenize=False)
        text = tokenizer.apply_chat_template(messages[:i + 1], tokenize=False)
        assert text.startswith(prompt), "the template says earlier turns otherwise afterwards"
        begin = len(tokenizer(prompt, add_special_tokens=False).input_ids)
        whole = tokenizer(text, add_special_tokens=False).input_ids
        last = max(k for k, token in enumerate(whole) if token in stops) + 1
        learned += range(begin, last)
    ids = torch.tensor([whole[:last]])
    with torch.no_grad():
        logp = model(ids).logits[0].log_softmax(-1)
    return [-logp[k - 1, whole[k]].item() for k in learned], last


def main():
    program, model_path, chats = sys.argv[1:]
    rows = [json.loads(line) for line in pathlib.Path(chats).read_text().splitlines() if line.strip()]
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/model"
        subprocess.run([program, "convert", model_path, folder, "--to", "hf-f32"], check=True, stdout=subprocess.DEVNULL)
        run = subprocess.run(
            [program, "finetune", "--model", folder, "--data", chats, "--out", f"{scratch}/run", "--json",
             "--set", "finetune.steps=1", "--set", f"finetune.samples_per_step={len(rows)}",
             "--set", "finetune.held_out_share=0", "--set", "optimizer.learning_rate=1e-30"],
            check=True, capture_output=True, text=True)
        ours = json.loads(run.stdout)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    stops = set(tokenizer.all_special_ids)
    losses, tokens = [], 0
    for row in rows:
        of_chat, length = losses_of(model, tokenizer, messages_of(row), stops)
        losses += of_chat
        tokens += length
    theirs = sum(losses) / len(losses)
    print(f"tokens: darkhorse {ours['tokens']}, transformers {tokens}, of them learned {len(losses)}")
    print(f"loss:   darkhorse {ours['loss']:.7f}, transformers {theirs:.7f}, difference {ours['loss'] - theirs:+.1e}")
    sys.exit(0 if ours["tokens"] == tokens and abs(ours["loss"] - theirs) < 2e-5 else "they differ")


if __name__ == "__main__":
    main()
