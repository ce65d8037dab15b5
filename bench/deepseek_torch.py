"""The DeepSeek-V3 architecture in plain PyTorch, written for speed on a CPU in f32.

What `compare_pytorch.py` times. Parameters carry Hugging Face's names, except that the gate and up
projections of an MLP, and the experts of a layer, are stacked into one tensor each.
"""

import torch
import torch.nn.functional as F
from torch import nn


def _product(a, b, out):
    torch.mm(a, b, out=out)


# One GEMM an expert on rows sorted by expert, written into one result: no concatenation, no copies.
# A custom operator, so that torch.compile keeps the graph whole around it.
@torch.library.custom_op("darkhorse::grouped_linear", mutates_args=())
def grouped_linear(x: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    y = x.new_empty(x.shape[0], weight.shape[1])
    begin = 0
    for expert, end in enumerate(ends.tolist()):
        _product(x[begin:end], weight[expert].t(), y[begin:end])
        begin = end
    return y


@grouped_linear.register_fake
def _(x, weight, ends):
    return x.new_empty(x.shape[0], weight.shape[1])


@torch.library.custom_op("darkhorse::grouped_linear_backward", mutates_args=())
def grouped_linear_backward(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor,
                            ends: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dy = dy.contiguous()
    dx, dweight = torch.empty_like(x), torch.empty_like(weight)
    begin = 0
    for expert, end in enumerate(ends.tolist()):
        _product(dy[begin:end], weight[expert], dx[begin:end])
        _product(dy[begin:end].t(), x[begin:end], dweight[expert])
        begin = end
    return dx, dweight


@grouped_linear_backward.register_fake
def _(dy, x, weight, ends):
    return torch.empty_like(x), torch.empty_like(weight)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, dy):
    return *grouped_linear_backward(dy, *ctx.saved_tensors), None


grouped_linear.register_autograd(_backward, setup_context=_save)


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Mlp(nn.Module):
    def __init__(self, hidden, intermediate):
        super().__init__()
        self.gate_up_proj = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x):
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        return self.down_proj(F.silu(gate) * up)


class Moe(nn.Module):
    """Sigmoid scores, top-k of score + bias, weights normalised (DeepSeek-V3, section 2.1.2)."""

    def __init__(self, c):
        super().__init__()
        experts, inner = c["n_routed_experts"], c["moe_intermediate_size"]
        self.k, self.scale = c["num_experts_per_tok"], c["routed_scaling_factor"]
        self.gate = nn.Linear(c["hidden_size"], experts, bias=False)
        self.register_buffer("e_score_correction_bias", torch.zeros(experts))
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * inner, c["hidden_size"]))
        self.down_proj = nn.Parameter(torch.empty(experts, c["hidden_size"], inner))
        self.shared_experts = Mlp(c["hidden_size"], inner * c["n_shared_experts"])

    def forward(self, x):
        scores = self.gate(x).sigmoid()
        expert = torch.topk(scores.detach() + self.e_score_correction_bias, self.k, -1,
                            sorted=False).indices
        weight = scores.gather(1, expert)
        weight = weight / (weight.sum(-1, keepdim=True) + 1e-20) * self.scale
        visits = expert.flatten()
        order = torch.argsort(visits, stable=True)
        ends = torch.bincount(visits, minlength=scores.shape[1]).cumsum(0)
        sorted_x = x.index_select(0, order // self.k)
        gate, up = grouped_linear(sorted_x, self.gate_up_proj, ends).chunk(2, -1)
        out = grouped_linear(F.silu(gate) * up, self.down_proj, ends)
        slot = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        out = out.index_select(0, slot).view(len(x), self.k, -1)
        return (out * weight[:, :, None]).sum(1) + self.shared_experts(x)


class Mla(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.nope, self.rope = (c["num_attention_heads"], c["qk_nope_head_dim"],
                                            c["qk_rope_head_dim"])
        self.value, self.latent = c["v_head_dim"], c["kv_lora_rank"]
        hidden = c["hidden_size"]
        self.q_proj = nn.Linear(hidden, self.heads * (self.nope + self.rope), bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(hidden, self.latent + self.rope, bias=False)
        self.kv_a_layernorm = RmsNorm(self.latent, c["rms_norm_eps"])
        self.kv_b_proj = nn.Linear(self.latent, self.heads * (self.nope + self.value), bias=False)
        self.o_proj = nn.Linear(self.heads * self.value, hidden, bias=False)

    @staticmethod
    def _rotate(x, cos, sin):  # interleaved pairs; x [B, T, heads, rope]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

    def forward(self, x, batch, cos, sin):
        length = x.shape[0] // batch
        q = self.q_proj(x).view(batch, length, self.heads, -1)
        q_nope, q_rope = q.split((self.nope, self.rope), -1)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split((self.latent, self.rope), -1)
        kv = self.kv_b_proj(self.kv_a_layernorm(latent)).view(batch, length, self.heads, -1)
        k_nope, v = kv.split((self.nope, self.value), -1)
        k_rope = self._rotate(k_rope.view(batch, length, 1, -1), cos, sin)
        q = torch.cat((q_nope, self._rotate(q_rope, cos, sin)), -1)
        k = torch.cat((k_nope, k_rope.expand(-1, -1, self.heads, -1)), -1)
        # The CPU's flash kernel wants one head size for all three: zeros behind the values cost less
        # than its fallback, which materialises the scores.
        width = self.nope + self.rope
        v = F.pad(v, (0, width - self.value))
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2),
                                             v.transpose(1, 2), is_causal=True)
        out = out.transpose(1, 2)[..., :self.value]
        return self.o_proj(out.reshape(len(x), -1))


class Layer(nn.Module):
    def __init__(self, c, moe):
        super().__init__()
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Mla(c)
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Moe(c) if moe else Mlp(c["hidden_size"], c["intermediate_size"])

    def forward(self, x, batch, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), batch, cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    """tokens, targets [B, T], every row one document -> mean cross-entropy."""

    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c, i >= c["first_k_dense_replace"])
                                    for i in range(c["num_hidden_layers"]))
        self.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tie_word_embeddings"]:
            self.lm_head.weight = self.embed_tokens.weight
        rope = c["qk_rope_head_dim"]
        angle = torch.arange(c["max_position_embeddings"], dtype=torch.float64)[:, None] * (
            c["rope_theta"] ** (-torch.arange(0, rope, 2, dtype=torch.float64) / rope))
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=c["initializer_range"])

    def forward(self, tokens, targets):
        batch, length = tokens.shape
        cos, sin = self.cos[:length, None], self.sin[:length, None]
        x = self.embed_tokens(tokens.flatten())
        for layer in self.layers:
            x = layer(x, batch, cos, sin)
        return F.cross_entropy(self.lm_head(self.norm(x)), targets.flatten())

    @torch.no_grad()
    def load_hugging_face(self, tensors):
        """Fills every parameter from a checkpoint's tensors by name."""
        def stacked(prefix):
            return torch.cat([tensors[f"{prefix}.{part}_proj.weight"] for part in ("gate", "up")])

        for name, p in list(self.named_parameters()) + [
                (n, b) for n, b in self.named_buffers() if n.endswith("correction_bias")]:
            name = name if name.startswith("lm_head") else "model." + name
            prefix, _, last = name.rpartition(".")
            if name.endswith("gate_up_proj.weight"):
                value = stacked(prefix.removesuffix(".gate_up_proj"))
            elif last == "gate_up_proj":
                value = torch.stack([stacked(f"{prefix}.experts.{e}") for e in range(len(p))])
            elif last == "down_proj":
                value = torch.stack([tensors[f"{prefix}.experts.{e}.down_proj.weight"]
                                     for e in range(len(p))])
            elif last == "e_score_correction_bias":
                value = tensors[f"{prefix}.gate.{last}"]
            else:
                value = tensors[name]
            p.copy_(value)
