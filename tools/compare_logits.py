#!/usr/bin/env python3
"""Compares darkhorse's logits in f32 with those of `transformers` reading the same files.

  python compare_logits.py BENCH_GGUF MODEL...

BENCH_GGUF: the program of bench/bench_gguf.cc. MODEL: a GGUF file or a folder. The truth is
transformers' own result in f64, its rotations too. An f32 chain of K products has a relative error of
u sqrt(K/6) on the average (each of its K sums is rounded, and they grow as a random walk does), u =
2^-24; those of a model's products, independent of each other, add up in squares. Beyond four times
that the exit code is 1.
"""
import os
import subprocess
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = ["The capital of France is Paris, and the capital of Italy is",
           "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) +",
           "Ångström, naïve café, 12345 + 678 = ; Жизнь прекрасна! 你好，世界。\n\n\t" * 8]


def load(path, dtype):
    folder, name = os.path.split(path)
    where = (folder, dict(gguf_file=name)) if os.path.isfile(path) else (path, {})
    model = AutoModelForCausalLM.from_pretrained(where[0], dtype=dtype, attn_implementation="eager",
                                                 **where[1])
    return model.to(dtype).eval(), AutoTokenizer.from_pretrained(where[0], **where[1])


def exact_rotations(model):
    """Rotations in f64: transformers computes them in f32 whatever the model is."""
    rotary, config = model.model.rotary_emb, model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert config.rope_parameters["rope_type"] == "default"
    theta = config.rope_parameters["rope_theta"]
    frequency = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)

    def forward(x, position_ids):
        angle = position_ids[0].double()[:, None] * frequency
        angle = torch.cat([angle, angle], -1)[None]
        return angle.cos().to(x.dtype), angle.sin().to(x.dtype)

    rotary.forward = forward


def expected_error(config):
    """Relative, of a logit."""
    hidden, width = config.hidden_size, config.intermediate_size
    chains = 3 * hidden + hidden + 2 * hidden + width  # q, k, v; o; gate, up; down
    return 2.0**-24 * ((config.num_hidden_layers * chains + hidden) / 6) ** 0.5


def main():
    program, failed = sys.argv[1], False
    torch.set_grad_enabled(False)
    for path in sys.argv[2:]:
        model, tokenizer = load(path, torch.float32)
        ids = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
        theirs = [model(torch.tensor([i])).logits[0].numpy() for i in ids]
        exact_rotations(model)
        model = model.double()
        for tokens, f32 in zip(ids, theirs):
            f64 = model(torch.tensor([tokens])).logits[0].numpy()
            answer = subprocess.run([program, "logits", path], input=" ".join(map(str, tokens)).encode(),
                                    stdout=subprocess.PIPE, check=True).stdout
            ours = np.frombuffer(answer, np.float32).reshape(f64.shape)
            rms = lambda x: float(np.sqrt((x.astype(np.float64) ** 2).mean()))
            bound = 4 * expected_error(model.config) * rms(f64)
            same = (ours.argmax(-1) == f64.argmax(-1)).mean()
            print(f"{os.path.basename(path)}: {len(tokens)} tokens, logits of {rms(f64):.2f} (root mean "
                  f"square): ours off by {rms(ours - f64):.1e}, at most {bound:.1e}; transformers' f32 by "
                  f"{rms(f32 - f64):.1e}; best token equal at {100 * same:.1f} %", flush=True)
            failed |= rms(ours - f64) > bound
    sys.exit(failed)


if __name__ == "__main__":
    main()
