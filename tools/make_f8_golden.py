"""Writes tests/golden/f8.json: all 256 numbers of PyTorch's float8_e4m3fn and float8_e8m0fnu, as the bits of f32."""
import json
import os

import torch

golden = {}
for name in ("float8_e4m3fn", "float8_e8m0fnu"):
    numbers = torch.arange(256, dtype=torch.uint8).view(getattr(torch, name)).float()
    golden[name] = ["nan" if torch.isnan(x) else f"{x.view(torch.int32).item() & 0xFFFFFFFF:08x}" for x in numbers]
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/golden/f8.json")
with open(path, "w") as out:
    json.dump(golden, out, indent=None)
    out.write("\n")
