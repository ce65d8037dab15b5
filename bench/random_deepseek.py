#!/usr/bin/env python3
"""Writes a folder of Hugging Face's with a DeepSeek-V2 model of random weights: 1.29 billion parameters, of which 0.25 work on a token.

Usage: random_deepseek.py TOKENIZER_FOLDER OUT

Needs numpy. TOKENIZER_FOLDER: with a tokenizer.json of at most 49,152 tokens that convert knows the GGUF name of. Its weights mean
nothing, so only speeds can be measured with it: `darkhorse convert OUT FILE.gguf --to gguf-q8_0`, then compare_llama.py.
"""

import json
import pathlib
import shutil
import sys

import numpy

VOCABULARY, HIDDEN, LAYERS, HEADS = 49152, 1024, 14, 16
NOPE, ROPE, VALUE, LATENT, QUERY_LATENT = 128, 64, 128, 512, 512
EXPERTS, ROUTED, SHARED, OF_EXPERT, OF_DENSE = 36, 4, 1, 704, 4096

CONFIG = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "model_type": "deepseek_v2",
    "torch_dtype": "bfloat16",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "q_lora_rank": QUERY_LATENT,  # llama.cpp wants one
    "kv_lora_rank": LATENT,
    "qk_nope_head_dim": NOPE,
    "qk_rope_head_dim": ROPE,
    "v_head_dim": VALUE,
    "intermediate_size": OF_DENSE,
    "moe_intermediate_size": OF_EXPERT,
    "first_k_dense_replace": 1,
    "n_routed_experts": EXPERTS,
    "num_experts_per_tok": ROUTED,
    "n_shared_experts": SHARED,
    "moe_layer_freq": 1,
    "topk_method": "greedy",
    "n_group": 1,
    "topk_group": 1,
    "scoring_func": "softmax",
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.0,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "tie_word_embeddings": False,
    "max_position_embeddings": 16384,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def shapes():
    """Every tensor's name and shape."""

    def mlp(name, width):
        yield name + ".gate_proj.weight", (width, HIDDEN)
        yield name + ".up_proj.weight", (width, HIDDEN)
        yield name + ".down_proj.weight", (HIDDEN, width)

    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        yield layer + ".input_layernorm.weight", (HIDDEN,)
        yield layer + ".self_attn.q_a_proj.weight", (QUERY_LATENT, HIDDEN)
        yield layer + ".self_attn.q_a_layernorm.weight", (QUERY_LATENT,)
        yield layer + ".self_attn.q_b_proj.weight", (HEADS * (NOPE + ROPE), QUERY_LATENT)
        yield layer + ".self_attn.kv_a_proj_with_mqa.weight", (LATENT + ROPE, HIDDEN)
        yield layer + ".self_attn.kv_a_layernorm.weight", (LATENT,)
        yield layer + ".self_attn.kv_b_proj.weight", (HEADS * (NOPE + VALUE), LATENT)
        yield layer + ".self_attn.o_proj.weight", (HIDDEN, HEADS * VALUE)
        yield layer + ".post_attention_layernorm.weight", (HIDDEN,)
        if i == 0:
            yield from mlp(layer + ".mlp", OF_DENSE)
            continue
        yield layer + ".mlp.gate.weight", (EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            yield from mlp(f"{layer}.mlp.experts.{expert}", OF_EXPERT)
        yield from mlp(layer + ".mlp.shared_experts", SHARED * OF_EXPERT)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tokenizer, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True)
    for file in tokenizer.glob("tokenizer*.json"):
        shutil.copy(file, out)
    (out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    header, end = {}, 0
    for name, shape in shapes():
        begin, end = end, end + 2 * int(numpy.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    print(f"{end / 2e9:.3f} billion parameters")
    random = numpy.random.default_rng(1)
    with open(out / "model.safetensors", "wb") as file:
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes():
            numbers = random.standard_normal(shape, numpy.float32) * 0.02 if len(shape) == 2 else numpy.ones(shape, numpy.float32)
            file.write((numbers.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes())


if __name__ == "__main__":
    main()
