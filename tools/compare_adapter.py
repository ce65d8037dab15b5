#!/usr/bin/env python3
"""Compares adapters' folders with PEFT's reading and writing of them.

  python compare_adapter.py DARKHORSE ADAPTER

ADAPTER: a folder that `darkhorse reinforce` or `finetune` wrote, of a base that transformers reads.
Forth: PEFT loads it, and its base's weights with the adapter's products in them are those that
`darkhorse convert ADAPTER OUT --to hf-f32` writes. Back: PEFT writes adapters of the same base, of
some of its layers, with either scale and with DoRA, and `convert` of them is what PEFT merges. Two
f32 sums of the same `rank` terms, added to a weight, are apart by at most (rank + 2) roundings of
the sum of their magnitudes. With DoRA a row of such sums is multiplied by its magnitude over its
norm, which is apart by as much of the row's norm and by one rounding for each square, and four more
for root, quotient and products. Beyond that the exit code is 1.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM


def load(path):
    folder, name = os.path.split(path)
    where = (folder, dict(gguf_file=name)) if os.path.isfile(path) else (path, {})
    return AutoModelForCausalLM.from_pretrained(where[0], dtype=torch.float32, **where[1]).eval()


def bounds_of(model, rank):
    """How far apart two f32 merges of every adapted weight may be, by its name in the merged model."""
    found = {}
    unit = 2.0**-24
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
        scale = module.scaling["default"]
        weight = module.base_layer.weight
        terms = weight.abs() + scale * b.abs() @ a.abs()
        bound = (rank + 2) * unit * terms
        if "default" in getattr(module, "lora_magnitude_vector", {}):
            summed = weight + scale * b @ a
            norm = summed.norm(dim=1, keepdim=True)
            gain = module.lora_magnitude_vector["default"].weight.abs()[:, None] / norm
            of_norm = bound.norm(dim=1, keepdim=True) / norm + (weight.shape[1] + 4) * unit
            bound = gain * (bound + summed.abs() * of_norm)
        found[name + ".weight"] = bound
    return found


def differ(darkhorse, adapter, model):
    rank = next(iter(model.peft_config.values())).r
    bounds = bounds_of(model, rank)
    with tempfile.TemporaryDirectory() as scratch:
        out = scratch + "/merged"
        subprocess.run([darkhorse, "convert", adapter, out, "--to", "hf-f32"], check=True, stderr=subprocess.DEVNULL)
        ours = load(out).state_dict()
    theirs = model.merge_and_unload().state_dict()
    worst, adapted = 0.0, 0
    for name, want in theirs.items():
        bound = bounds.get(name, torch.zeros(()))
        adapted += name in bounds
        worst = max(worst, ((ours[name] - want).abs() / bound.clamp(min=1e-30)).max().item())
    print(f"{adapter}: {adapted} of {len(theirs)} tensors adapted; worst difference {worst:.2f} of its bound")
    return worst > 1


def main():
    darkhorse, adapter = sys.argv[1:]
    torch.set_grad_enabled(False)
    base = json.load(open(adapter + "/adapter_config.json"))["base_model_name_or_path"]
    failed = differ(darkhorse, adapter, PeftModel.from_pretrained(load(base), adapter))
    for options in (dict(r=8, lora_alpha=16, target_modules=["q_proj", "down_proj"]),
                    dict(r=4, lora_alpha=3, use_rslora=True, target_modules="all-linear"),
                    dict(r=8, lora_alpha=16, use_dora=True, target_modules=["q_proj", "v_proj", "up_proj"])):
        torch.manual_seed(1)
        model = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", **options))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
            if "lora_magnitude_vector" in name:
                parameter.mul_(1 + 0.2 * torch.rand_like(parameter))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            config = json.load(open(folder + "/adapter_config.json"))
            config["base_model_name_or_path"] = base
            json.dump(config, open(folder + "/adapter_config.json", "w"))
            failed |= differ(darkhorse, folder, model)
    sys.exit(failed)


main()
