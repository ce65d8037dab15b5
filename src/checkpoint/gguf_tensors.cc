#include "checkpoint/gguf_tensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/nearest_name.h"
#include "checkpoint/safetensors.h"

namespace darkhorse {
namespace {

// llama's converter interleaves the halves for a runtime that turns neighbours; the others are as
// Hugging Face has them (llama.cpp conversion/).
constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", true},
    {"qwen2", "qwen2", false},
    {"qwen3", "qwen3", false},
    {"qwen3moe", "qwen3_moe", false},
    {"deepseek2", "deepseek_v3", false},
};

struct Name {
  std::string_view param;   // Hugging Face's
  std::string_view tensor;  // GGUF's
};
constexpr Name kNames[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};
// Behind "model.layers.N." and "blk.N.".
constexpr Name kLayerNames[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.o_proj.bias", "attn_output.bias"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"},
};
constexpr std::string_view kKvB = "self_attn.kv_b_proj.weight";
constexpr Name kExpertNames[] = {
    // behind "mlp.experts.E."
    {"gate_proj.weight", "gate"},
    {"up_proj.weight", "up"},
    {"down_proj.weight", "down"},
};

// What a file may hold beside the parameters: the configuration takes it.
constexpr std::string_view kNoParameters[] = {"rope_freqs.weight"};

template <size_t kCount>
const Name* FindName(const Name (&names)[kCount], std::string_view param) {
  const Name* found = std::find_if(std::begin(names), std::end(names),
                                   [&](const Name& name) { return name.param == param; });
  return found == std::end(names) ? nullptr : found;
}

// The number that `text` begins with, taken off together with the dot behind it.
std::optional<int64_t> TakeNumber(std::string_view& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.') return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return number;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

int64_t RowBytes(const GgufTensor& tensor) { return tensor.type->BytesOf(tensor.cols()); }

}  // namespace

const GgufArchitecture& ArchitectureOf(const GgufKeys& keys) {
  const std::string_view name = keys.String("general.architecture");
  std::vector<std::string> names;
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (architecture.name == name) return architecture;
    names.emplace_back(architecture.name);
  }
  Fail("{}: general.architecture is '{}', which is not supported{}; supported: {}", keys.name(),
       Printable(name), DidYouMean(name, names), fmt::join(names, ", "));
}

const GgufArchitecture& ArchitectureOf(const ModelConfig& config) {
  // Both of DeepSeek's are one there.
  const std::string type = config.latent_attention() ? "deepseek_v3" : config.model_type;
  const auto* found =
      std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                   [&](const GgufArchitecture& known) { return known.model_type == type; });
  if (found == std::end(kArchitectures)) Fail("GGUF has no architecture for a model of '{}'", type);
  return *found;
}

std::string GgufTensorName(std::string_view param) {
  if (const Name* known = FindName(kNames, param)) return std::string(known->tensor);
  if (!TakePrefix(param, "model.layers.")) return "";
  const std::optional<int64_t> layer = TakeNumber(param);
  if (!layer) return "";
  const std::string block = fmt::format("blk.{}.", *layer);
  if (param == kKvB) return block + "attn_kv_b.weight";
  if (const Name* known = FindName(kLayerNames, param)) return block + std::string(known->tensor);
  if (!TakePrefix(param, "mlp.experts.") || !TakeNumber(param)) return "";
  const Name* known = FindName(kExpertNames, param);
  return known ? fmt::format("{}ffn_{}_exps.weight", block, known->tensor) : "";
}

std::string ArchitectureKey(const GgufArchitecture& architecture, std::string_view name) {
  return std::string(architecture.name).append(".").append(name);
}

void GgufParam::ReadRows(int64_t begin, int64_t count, float* out) const {
  CHECK(begin >= 0 && count >= 0 && begin + count <= rows_);
  if (parts_.k) return ReadKvRows(begin, count, out);
  const GgmlTypeInfo& type = *tensor_->type;
  if (head_rows_ == 0) return type.decode(Row(begin), count * cols_ / type.numbers, out);
  for (int64_t row = begin; row < begin + count; ++row, out += cols_) {
    type.decode(Row(row), cols_ / type.numbers, out);
  }
}

void GgufParam::ReadKvRows(int64_t begin, int64_t count, float* out) const {
  const int64_t latent = cols_, nope = parts_.nope, head_rows = nope + parts_.value;
  const GgufTensor &k = *parts_.k, &v = *parts_.v;
  std::vector<float> head_keys;  // [latent, nope] of head `decoded`
  int64_t decoded = -1;
  for (int64_t row = begin; row < begin + count; ++row, out += latent) {
    const int64_t head = row / head_rows, i = row % head_rows;
    if (i >= nope) {
      const int64_t stored = head * parts_.value + i - nope;
      v.type->decode(v.bytes.data() + stored * RowBytes(v), latent / v.type->numbers, out);
      continue;
    }
    if (decoded != head) {
      head_keys.resize(static_cast<size_t>(latent * nope));
      k.type->decode(k.bytes.data() + head * latent * RowBytes(k), latent * nope / k.type->numbers,
                     head_keys.data());
      decoded = head;
    }
    for (int64_t j = 0; j < latent; ++j) out[j] = head_keys[static_cast<size_t>(j * nope + i)];
  }
}

GgufTensors::GgufTensors(const GgufFiles& files)
    : files_(files), architecture_(ArchitectureOf(files.keys())) {
  const auto key = [&](std::string_view name) { return ArchitectureKey(architecture_, name); };
  heads_ = files.keys().Int(key("attention.head_count"), 1, INT32_MAX);
  key_value_heads_ =
      files.keys().FindInt(key("attention.head_count_kv"), 1, INT32_MAX).value_or(heads_);
  experts_ = files.keys().FindInt(key("expert_count"), 0, INT32_MAX).value_or(0);
}

const GgufTensor& GgufTensors::Needed(const std::string& tensor, std::string_view name) const {
  const GgufFiles::Entry* entry = files_.Find(tensor);
  if (!entry) {
    Fail("{}: tensor '{}', which holds {}, is missing; fetch the model again", files_.path(),
         tensor, name);
  }
  if (!entry->tensor->type->decode) {
    Fail("{}: tensor '{}' is {}, which is not read; fetch the model in one of {}",
         entry->file->path(), tensor, entry->tensor->type->name, ReadableGgmlTypes());
  }
  CHECK(!entry->tensor->bytes.empty());  // more than the head was opened
  return *entry->tensor;
}

void GgufTensors::RequireShape(const GgufTensor& tensor, std::string_view name,
                               std::span<const int64_t> shape) const {
  if (std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end())) return;
  Fail(
      "{}: tensor '{}', which holds {}, has shape {} where the file's keys ask for {}; fetch the "
      "model again",
      files_.path(), Printable(tensor.name), name, ShapeText(tensor.shape), ShapeText(shape));
}

GgufParam GgufTensors::Whole(const std::string& tensor_name, std::string_view name,
                             std::span<const int64_t> shape) const {
  const GgufTensor& tensor = Needed(tensor_name, name);
  RequireShape(tensor, name, shape);
  GgufParam param;
  param.tensor_ = &tensor;
  param.first_ = tensor.bytes.data();
  param.rows_ = shape.front();
  param.cols_ = shape.size() == 1 ? 1 : shape.back();
  if (param.cols_ % tensor.type->numbers != 0) {
    Fail("{}: tensor '{}', which holds {}, is a vector in blocks of {}; fetch the model again",
         files_.path(), tensor_name, name, tensor.type->name);
  }
  param.row_bytes_ = tensor.type->BytesOf(param.cols_);
  return param;
}

GgufParam GgufTensors::Expert(const std::string& block, std::string_view kind, int64_t expert,
                              std::string_view name, std::span<const int64_t> shape) const {
  CHECK(shape.size() == 2);
  std::string tensor_name = fmt::format("{}ffn_{}_exps.weight", block, kind);
  const std::string fused = block + "ffn_gate_up_exps.weight";
  int64_t first = 0, rows = shape[0];  // of each expert
  if (kind != "down" && !files_.Find(tensor_name) && files_.Find(fused)) {
    tensor_name = fused;
    first = kind == "up" ? rows : 0;
    rows *= 2;
  }
  const GgufTensor& tensor = Needed(tensor_name, name);
  RequireShape(tensor, name, std::vector<int64_t>{experts_, rows, shape[1]});
  if (expert >= experts_) {
    Fail("{}: tensor '{}' has {} experts, too few for {}; fetch the model again", files_.path(),
         tensor_name, experts_, name);
  }
  GgufParam param;
  param.tensor_ = &tensor;
  param.rows_ = shape[0];
  param.cols_ = shape[1];
  param.row_bytes_ = RowBytes(tensor);
  param.first_ = tensor.bytes.data() + (expert * rows + first) * param.row_bytes_;
  return param;
}

// One matrix in files of before April 2025, and two since.
GgufParam GgufTensors::KvB(const std::string& block, std::string_view name,
                           std::span<const int64_t> shape) const {
  CHECK(shape.size() == 2);
  const std::string whole = block + "attn_kv_b.weight";
  const std::string k_name = block + "attn_k_b.weight";
  if (files_.Find(whole) || !files_.Find(k_name)) return Whole(whole, name, shape);
  const GgufTensor& k = Needed(k_name, name);
  const GgufTensor& v = Needed(block + "attn_v_b.weight", name);
  GgufParam param;
  param.rows_ = shape[0];
  param.cols_ = shape[1];
  const int64_t nope = k.cols(), value = v.rows() / heads_;
  RequireShape(k, name, std::vector<int64_t>{heads_, param.cols_, nope});
  RequireShape(v, name, std::vector<int64_t>{heads_, value, param.cols_});
  if (heads_ * (nope + value) != param.rows_) {
    Fail(
        "{}: tensors '{}' and '{}' hold {} rows of {}, where the file's keys ask for {}; fetch the "
        "model again",
        files_.path(), Printable(k.name), Printable(v.name), heads_ * (nope + value), name,
        param.rows_);
  }
  param.tensor_ = &k;
  param.parts_ = {&k, &v, nope, value};
  return param;
}

GgufParam GgufTensors::Find(std::string_view name, std::span<const int64_t> shape) const {
  if (const Name* known = FindName(kNames, name)) {
    return Whole(std::string(known->tensor), name, shape);
  }
  std::string_view rest = name;
  std::optional<int64_t> layer;
  if (TakePrefix(rest, "model.layers.")) layer = TakeNumber(rest);
  const std::string block = fmt::format("blk.{}.", layer.value_or(-1));
  if (layer && rest == kKvB) return KvB(block, name, shape);
  if (const Name* known = layer ? FindName(kLayerNames, rest) : nullptr) {
    GgufParam param = Whole(block + std::string(known->tensor), name, shape);
    const bool queries = rest.starts_with("self_attn.q_proj.");
    if (architecture_.interleaved_halves && (queries || rest.starts_with("self_attn.k_proj."))) {
      const int64_t heads = queries ? heads_ : key_value_heads_;
      if (param.rows() % (2 * heads) != 0) {
        Fail(
            "{}: tensor '{}{}' has {} rows, which are no two halves of {} heads; fetch the model "
            "again",
            files_.path(), block, known->tensor, param.rows(), heads);
      }
      param.head_rows_ = param.rows() / heads;
    }
    return param;
  }
  if (layer && TakePrefix(rest, "mlp.experts.")) {
    const std::optional<int64_t> expert = TakeNumber(rest);
    const Name* known = expert ? FindName(kExpertNames, rest) : nullptr;
    if (known) return Expert(block, known->tensor, *expert, name, shape);
  }
  Fail("{}: no tensor of GGUF is known to hold {}; take the model from safetensors", files_.path(),
       name);
}

void GgufTensors::CheckLayout(const ParamLayout& layout) const {
  std::set<std::string_view> taken(std::begin(kNoParameters), std::end(kNoParameters));
  for (const ParamInfo& info : layout.params()) {
    const GgufParam param = Find(info.name, info.shape);
    taken.insert(param.tensor_->name);
    if (param.parts_.v) taken.insert(param.parts_.v->name);
  }
  for (const GgufFiles::Entry& entry : files_.entries()) {
    const std::string_view name = entry.tensor->name;
    // Some files have kv_b_proj twice, whole and in its parts.
    const bool copy = name.ends_with(".attn_k_b.weight") || name.ends_with(".attn_v_b.weight");
    if (!taken.contains(name) &&
        !(copy &&
          taken.contains(std::string(name.substr(0, name.find("attn_"))) + "attn_kv_b.weight"))) {
      Fail("{}: tensor '{}' is unknown to a model of '{}'; take the model from safetensors",
           entry.file->path(), Printable(name), architecture_.name);
    }
  }
}

void GgufTensors::ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const {
  const GgufParam found = Find(param.name, param.shape);
  found.ReadRows(begin, count, out);
  if (!std::all_of(out, out + count * found.cols(), [](float x) { return std::isfinite(x); })) {
    Fail("{}: {} holds numbers that are not finite; take a sound copy", files_.path(), param.name);
  }
}

StoredRows GgufTensors::Rows(const ParamSpec& param) const {
  const GgufParam found = Find(param.name, param.shape);
  return {found.type(), [found](int64_t row) { return found.Row(row); }, found.rows_in_order()};
}

}  // namespace darkhorse
