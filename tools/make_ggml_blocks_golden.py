"""Writes tests/golden/ggml_blocks.json: blocks of each of ggml's formats and their numbers by the `gguf` package;
and tests/golden/ggml_encode.json: numbers and the blocks that the package makes of them.

  python make_ggml_blocks_golden.py            writes the files
  python make_ggml_blocks_golden.py PROGRAM FILE.gguf...
      compares PROGRAM (bench/bench_gguf.cc) with the package instead: on random blocks and on every tensor of the files
"""
import json
import os
import subprocess
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
# Where the f16 scales lie in a block: random bytes would often make NaN of them, which compare by chance.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}


def random_blocks(name, count, rng):
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if name in ("F32", "F16", "BF16"):
        values = (rng.standard_normal(count) * 2.0 ** rng.integers(-30, 13, count)).astype(np.float32)
        return {"F32": values, "F16": values.astype(np.float16), "BF16": values.view(np.uint32) >> 16}[name].astype(
            {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[name]).view(np.uint8).reshape(count, size)
    for at in SCALES.get(name, ()):
        # Every finite f16 but for the largest: denormals and both zeros too.
        bits = rng.integers(0, 0x7800, count, dtype=np.uint16) | rng.integers(0, 2, count, dtype=np.uint16) << 15
        blocks[:, at:at + 2] = bits.astype("<u2").view(np.uint8).reshape(count, 2)
    return blocks


def numbers(blocks, kind):
    return np.ascontiguousarray(dequantize(np.ascontiguousarray(blocks), kind), dtype=np.float32).reshape(-1)


def write():
    rng = np.random.default_rng(1)
    golden = {}
    for name in TYPES:
        block_numbers, _ = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
        blocks = random_blocks(name, {1: 16, 32: 3, 256: 1}[block_numbers], rng)
        golden[name] = {"blocks": blocks.tobytes().hex(),
                        "numbers": numbers(blocks, GGMLQuantizationType[name]).tobytes().hex()}
    save(golden, "ggml_blocks.json")
    # Rows of all sizes: the usual, zeros, one number alone, integers (whose halves are ties), the largest of f16, denormals.
    ordinary = (rng.standard_normal((4, 32)) * 2.0 ** np.array([[-3], [-12], [5], [0]])).astype(np.float32)
    alone = np.zeros((2, 32), np.float32)
    alone[1, 17] = -0.75
    whole = rng.integers(-16, 17, (2, 32)).astype(np.float32) / 2
    extreme = np.stack([np.linspace(-65504, 65504, 32), np.linspace(-3e-7, 1e-7, 32)]).astype(np.float32)
    values = np.concatenate([ordinary, alone, whole, extreme])
    encoded = {"numbers": values.tobytes().hex()}
    for name in ("F16", "BF16", "Q4_0", "Q5_0", "Q8_0"):
        encoded[name] = quantize(values, GGMLQuantizationType[name]).tobytes().hex()
    save(encoded, "ggml_encode.json")


def save(golden, name):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/golden", name)
    with open(path, "w") as out:
        json.dump(golden, out, indent=0)
        out.write("\n")


def decoded(program, kind, blocks):
    answer = subprocess.run([program, "decode", str(int(kind))], input=blocks.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(answer, dtype=np.uint32)


def compare(program, files):
    differences = 0

    def check(what, kind, blocks):
        nonlocal differences
        bad = int((decoded(program, kind, blocks) != numbers(blocks, kind).view(np.uint32)).sum())
        differences += bad
        return f"{what}: {bad} numbers differ"

    rng = np.random.default_rng(2)
    for name in TYPES:
        print(check(f"{name}, 20000 random blocks", GGMLQuantizationType[name], random_blocks(name, 20000, rng)))
    for path in files:
        tensors, kinds, before = GGUFReader(path).tensors, set(), differences
        for tensor in tensors:
            kinds.add(tensor.tensor_type.name)
            check(tensor.name, tensor.tensor_type, np.ascontiguousarray(tensor.data))
        print(f"{path}: {len(tensors)} tensors ({', '.join(sorted(kinds))}), {differences - before} numbers differ")
    sys.exit(differences != 0)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        write()
    else:
        compare(sys.argv[1], sys.argv[2:])
