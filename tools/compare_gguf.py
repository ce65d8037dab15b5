"""Compares the parameters that darkhorse reads from GGUF files with those of `transformers`, bit by bit.

  python compare_gguf.py BENCH_GGUF FILE.gguf...

BENCH_GGUF: the program of bench/bench_gguf.cc. Exit code 1 on a difference.
"""
import subprocess
import sys

import numpy as np
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
import os
import torch


def main():
    program, paths = sys.argv[1], sys.argv[2:]
    differences = 0
    for path in paths:
        folder, name = os.path.split(path)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, gguf_file=name))
        tensors = load_gguf_checkpoint(path, return_tensors=True, model_to_load=empty)["tensors"]
        bad = total = 0
        for param, tensor in tensors.items():
            expected = tensor.float().numpy()
            line = " ".join([param, *map(str, expected.shape)]) + "\n"
            answer = subprocess.run([program, "params", path], input=line.encode(), stdout=subprocess.PIPE, check=True).stdout
            differing = int((np.frombuffer(answer, np.uint32) != np.ascontiguousarray(expected).reshape(-1).view(np.uint32)).sum())
            if differing:
                print(f"{param}: {differing} of {expected.size} differ")
            bad += differing
            total += expected.size
        print(f"{path}: {len(tensors)} parameters, {total} numbers, {bad} differ")
        differences += bad
    sys.exit(differences != 0)


if __name__ == "__main__":
    main()
