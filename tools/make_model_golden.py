#!/usr/bin/env python3
"""Writes tests/golden/model_*.json: tiny random models and what transformers computes with them.

Needs torch and transformers, so it is run by hand and its output is checked in:
    python tools/make_model_golden.py [FOLDER]
Weights are integers times 2^-8, exact in every format. The weights travel as a published
checkpoint does (config.json + safetensors with the published names), so the loading of transformers
is part of what is compared. rms_norm_eps stays at 1e-6: the norms of the two latents have that value
in transformers whatever the configuration says. Its grouped products take rows of whole 16
bytes: hidden_size and moe_intermediate_size are multiples of 4.
"""

import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import MtpModel

SCALE = 2.0**-8

BASE = dict(
    vocab_size=17, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, q_lora_rank=5,
    kv_lora_rank=6, qk_nope_head_dim=3, qk_rope_head_dim=4, v_head_dim=5, intermediate_size=7,
    moe_intermediate_size=4, first_k_dense_replace=1, n_routed_experts=4, n_shared_experts=1,
    num_experts_per_tok=2, n_group=1, topk_group=1, scoring_func="sigmoid", topk_method="noaux_tc",
    norm_topk_prob=True, routed_scaling_factor=1.0, num_nextn_predict_layers=0,
    max_position_embeddings=64, rope_theta=50.0, rope_scaling=None, rms_norm_eps=1e-6,
    tie_word_embeddings=False, model_type="deepseek_v3", rope_interleave=True)

# What the files of other types do not tell, in our fields; transformers is told their own.
GROUPED = dict(q_lora_rank=None, kv_lora_rank=0, qk_nope_head_dim=0, qk_rope_head_dim=0, v_head_dim=0,
               num_attention_heads=4, num_key_value_heads=2, head_dim=6, n_shared_experts=0,
               scoring_func="softmax", topk_method="greedy", rope_interleave=False,
               attention_bias=False, attention_output_bias=False, qk_norm=False,
               first_k_dense_replace=2, moe_intermediate_size=0, n_routed_experts=0,
               num_experts_per_tok=0, norm_topk_prob=False)


def yarn(factor, original, fast, slow, mscale, mscale_all_dim):
    return dict(type="yarn", factor=factor, original_max_position_embeddings=original,
                beta_fast=fast, beta_slow=slow, mscale=mscale, mscale_all_dim=mscale_all_dim)


# Its rotation in transformers needs even strides, hence an even qk_nope_head_dim.
V2 = dict(model_type="deepseek_v2", scoring_func="softmax", norm_topk_prob=False,
          n_shared_experts=2, qk_nope_head_dim=4)
CASES = {
    "v3": dict(n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=3,
               routed_scaling_factor=2.5),
    "v3_plain_queries_tied": dict(q_lora_rank=None, tie_word_embeddings=True, norm_topk_prob=False,
                                  first_k_dense_replace=0, num_attention_heads=4),
    "v3_yarn": dict(qk_rope_head_dim=8, rope_scaling=yarn(4.0, 16, 2.0, 0.5, 1.0, 1.0)),
    "v3_yarn_two_scales": dict(qk_rope_head_dim=8, rope_scaling=yarn(40.0, 24, 3.0, 1.0, 1.0, 0.6)),
    "v3_dense": dict(first_k_dense_replace=3, num_hidden_layers=3),
    "v3_mtp": dict(num_nextn_predict_layers=2, num_hidden_layers=1),
    "v2_lite": dict(V2, q_lora_rank=None, topk_method="greedy", n_routed_experts=6),
    "v2": dict(V2, topk_method="group_limited_greedy", n_routed_experts=6, n_group=3, topk_group=2,
               routed_scaling_factor=16.0, qk_rope_head_dim=6,
               rope_scaling=yarn(40.0, 32, 4.0, 1.0, 0.707, 0.707)),
    "v3_other_sizes": dict(vocab_size=23, hidden_size=12, num_hidden_layers=3, num_attention_heads=3,
                           q_lora_rank=7, kv_lora_rank=4, qk_nope_head_dim=5, qk_rope_head_dim=6,
                           v_head_dim=3, intermediate_size=9, moe_intermediate_size=8,
                           n_routed_experts=5, n_shared_experts=2, num_experts_per_tok=3,
                           max_position_embeddings=32, rope_theta=700.0),
    "v3_halves": dict(rope_interleave=False, first_k_dense_replace=2),
    "llama": dict(GROUPED, model_type="llama", tie_word_embeddings=True, rope_scaling=dict(
        type="llama3", factor=8.0, original_max_position_embeddings=40, low_freq_factor=1.0,
        high_freq_factor=4.0)),
    "llama_biases": dict(GROUPED, model_type="llama", attention_bias=True, attention_output_bias=True,
                         num_key_value_heads=1, head_dim=4, num_hidden_layers=3,
                         first_k_dense_replace=3, rms_norm_eps=1e-3,
                         rope_scaling=dict(type="linear", factor=3.0)),
    "qwen2": dict(GROUPED, model_type="qwen2", attention_bias=True, num_key_value_heads=4, head_dim=2,
                  rope_theta=1000.0),
    "qwen2_yarn": dict(GROUPED, model_type="qwen2", attention_bias=True, head_dim=2, hidden_size=8,
                       rope_scaling=dict(type="yarn", factor=4.0,
                                         original_max_position_embeddings=16)),
    "qwen3": dict(GROUPED, model_type="qwen3", qk_norm=True, head_dim=10, tie_word_embeddings=True),
    "qwen3_moe": dict(GROUPED, model_type="qwen3_moe", qk_norm=True, first_k_dense_replace=0,
                      moe_intermediate_size=4, n_routed_experts=6, num_experts_per_tok=2,
                      norm_topk_prob=True, attention_bias=True, attention_output_bias=True),
    "qwen3_moe_not_normed": dict(GROUPED, model_type="qwen3_moe", qk_norm=True,
                                 first_k_dense_replace=0, moe_intermediate_size=8,
                                 n_routed_experts=4, num_experts_per_tok=3, head_dim=4),
}


def shapes(c):
    """The published tensor names and shapes of a configuration."""
    h, heads = c["hidden_size"], c["num_attention_heads"]
    qk = c["qk_nope_head_dim"] + c["qk_rope_head_dim"]

    def grouped(a):
        rows = {"q": heads * c["head_dim"], "k": c["num_key_value_heads"] * c["head_dim"]}
        rows["v"] = rows["k"]
        out = {f"{a}{x}_proj.weight": (rows[x], h) for x in "qkv"}
        out[a + "o_proj.weight"] = (h, rows["q"])
        if c["attention_bias"]:
            out |= {f"{a}{x}_proj.bias": (rows[x],) for x in "qkv"}
        if c["attention_output_bias"]:
            out[a + "o_proj.bias"] = (h,)
        if c["qk_norm"]:
            out |= {f"{a}{x}_norm.weight": (c["head_dim"],) for x in "qk"}
        return out

    def latent(a):
        out = {}
        if c["q_lora_rank"]:
            out[a + "q_a_proj.weight"] = (c["q_lora_rank"], h)
            out[a + "q_a_layernorm.weight"] = (c["q_lora_rank"],)
            out[a + "q_b_proj.weight"] = (heads * qk, c["q_lora_rank"])
        else:
            out[a + "q_proj.weight"] = (heads * qk, h)
        out[a + "kv_a_proj_with_mqa.weight"] = (c["kv_lora_rank"] + c["qk_rope_head_dim"], h)
        out[a + "kv_a_layernorm.weight"] = (c["kv_lora_rank"],)
        out[a + "kv_b_proj.weight"] = (heads * (c["qk_nope_head_dim"] + c["v_head_dim"]),
                                       c["kv_lora_rank"])
        out[a + "o_proj.weight"] = (h, heads * c["v_head_dim"])
        return out

    def mlp(prefix, width):
        return {prefix + "gate_proj.weight": (width, h), prefix + "up_proj.weight": (width, h),
                prefix + "down_proj.weight": (h, width)}

    def layer(index):
        p = f"model.layers.{index}."
        out = {p + "input_layernorm.weight": (h,), p + "post_attention_layernorm.weight": (h,)}
        a = p + "self_attn."
        out |= latent(a) if c["kv_lora_rank"] else grouped(a)
        if index < c["first_k_dense_replace"]:
            return out | mlp(p + "mlp.", c["intermediate_size"])
        out[p + "mlp.gate.weight"] = (c["n_routed_experts"], h)
        if c["topk_method"] == "noaux_tc":
            out[p + "mlp.gate.e_score_correction_bias"] = (c["n_routed_experts"],)
        for expert in range(c["n_routed_experts"]):
            out |= mlp(f"{p}mlp.experts.{expert}.", c["moe_intermediate_size"])
        shared = c["n_shared_experts"] * c["moe_intermediate_size"]
        return out | (mlp(p + "mlp.shared_experts.", shared) if shared else {})

    out = {"model.embed_tokens.weight": (c["vocab_size"], h), "model.norm.weight": (h,)}
    if not c["tie_word_embeddings"]:
        out["lm_head.weight"] = (c["vocab_size"], h)
    for index in range(c["num_hidden_layers"]):
        out |= layer(index)
    for index in range(c["num_hidden_layers"],
                       c["num_hidden_layers"] + c["num_nextn_predict_layers"]):
        p = f"model.layers.{index}."
        out |= {p + "enorm.weight": (h,), p + "hnorm.weight": (h,), p + "eh_proj.weight": (h, 2 * h),
                p + "shared_head.norm.weight": (h,)} | layer(index)
    return out


def random_weights(c, generator):
    """Integers; the weight is the integer times SCALE."""
    out = {}
    for name, shape in shapes(c).items():
        mean, deviation = 0.0, shape[-1]**-0.5
        if name.endswith("norm.weight"):
            mean, deviation = 1.0, 0.2
        elif name.endswith("bias"):
            deviation = 0.2
        elif name == "model.embed_tokens.weight":
            deviation = 1.0
        values = mean + deviation * torch.randn(shape, generator=generator, dtype=torch.float64)
        out[name] = torch.round(values / SCALE).to(torch.int64)
    return out


def mtp_module(model, weights, c, k):
    """Fills module k of an MtpModel, whose tensors transformers fuses and renames."""
    module, p = model.layers[k], f"model.layers.{c['num_hidden_layers'] + k}."
    own = {"enorm": "enorm", "hnorm": "hnorm", "eh_proj": "eh_proj",
           "post_norm": "shared_head.norm"}
    state = {ours + ".weight": weights[p + theirs + ".weight"] for ours, theirs in own.items()}
    experts = [{part: weights.pop(f"{p}mlp.experts.{e}.{part}_proj.weight")
                for part in ("gate", "up", "down")} for e in range(c["n_routed_experts"])]
    state["mtp_block.mlp.experts.gate_up_proj"] = torch.stack(
        [torch.cat([e["gate"], e["up"]]) for e in experts])
    state["mtp_block.mlp.experts.down_proj"] = torch.stack([e["down"] for e in experts])
    for name, value in weights.items():
        rest = name.removeprefix(p)
        if name.startswith(p) and rest.removesuffix(".weight") not in own.values():
            state["mtp_block." + rest] = value
    module.load_state_dict(state)


def mtp_log_probabilities(main, weights, c, ids, hidden):
    """[k][i] = log p_k(t_{i+2+k}) at row i, for the rows that have such a token."""
    model = MtpModel(main, c["num_nextn_predict_layers"]).float().eval()
    out = []
    for k in range(c["num_nextn_predict_layers"]):
        mtp_module(model, weights, c, k)
        hidden = hidden[:, :-1]
        tokens = ids[:, k + 1:]
        hidden = model.forward_layer(k, hidden, torch.arange(tokens.shape[1])[None], None,
                                     input_ids=tokens)
        logp = model.shared_head(hidden).double().log_softmax(-1)[0, :-1]
        out.append(logp.gather(1, ids[0, k + 2:, None])[:, 0].tolist())
    return out


def theirs(config):
    """The config.json of the published type."""
    if config["kv_lora_rank"]:
        return config | dict(num_key_value_heads=config["num_attention_heads"])
    known = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings",
             "rope_theta", "rope_scaling", "rms_norm_eps", "tie_word_embeddings", "attention_bias")
    out = {key: config[key] for key in known}
    if config["model_type"] == "qwen3_moe":
        out |= {key: config[key] for key in ("moe_intermediate_size", "num_experts_per_tok",
                                             "norm_topk_prob")}
        out["num_experts"] = config["n_routed_experts"]
    return out


def make(name, changes, seed):
    config = BASE | changes
    generator = torch.Generator().manual_seed(seed)
    integers = random_weights(config, generator)
    ids = torch.randint(config["vocab_size"], (1, 9), generator=generator)
    weights = {key: (value * SCALE).float() for key, value in integers.items()}
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(theirs(config)))
        save_file(weights, pathlib.Path(folder) / "model.safetensors", metadata={"format": "pt"})
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    model.eval()
    with torch.no_grad():
        hidden = model.model(ids).last_hidden_state
        logits = model(ids).logits[0]
        mtp = mtp_log_probabilities(model, weights, config, ids, hidden) if config[
            "num_nextn_predict_layers"] else []
    return dict(name=name, config=config, weight_scale=SCALE,
                weights={key: value.flatten().tolist() for key, value in integers.items()},
                tokens=ids[0].tolist(), logits=[row.tolist() for row in logits], mtp_logp=mtp)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "tests" / "golden"
    for seed, (name, changes) in enumerate(CASES.items()):
        lines = ",\n".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}"
                           for key, value in make(name, changes, seed).items())
        path = folder / f"model_{name}.json"
        path.write_text("{\n" + lines + "\n}\n")
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
