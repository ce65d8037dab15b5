#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <type_traits>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernel/bf16.h"
#include "kernel/gemm.h"
#include "kernel/linear.h"
#include "kernel/ops.h"
#include "kernel/unpack.h"

namespace darkhorse {
namespace {

// "o_proj" of "model.layers.3.self_attn.o_proj.weight".
std::string ModuleOf(const std::string& weight) {
  const std::string module = weight.substr(0, weight.rfind('.'));
  return module.substr(module.rfind('.') + 1);
}

bool CanHaveAdapter(const ModelConfig& config, const ParamSpec& param) {
  return param.kind == ParamKind::kMatrix && param.layer >= 0 &&
         param.layer < config.num_hidden_layers;
}

// visit(tensor, spec) for every matrix that can have a pair.
template <typename M, typename Visit>
void ListAdaptable(const ModelConfig& config, ModelTensors<M>& model, const Visit& visit) {
  ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
    if constexpr (std::is_same_v<decltype(tensor), M&>) {
      if (CanHaveAdapter(config, spec)) visit(tensor, spec);
    }
  });
}

// The pair of a weight in a layout; a is null where it has none.
struct Pair {
  const ParamInfo *a = nullptr, *b = nullptr, *magnitude = nullptr;  // the last with DoRA only
};

// Of a layout's pairs, which follow the order of the weights, the next if it is this weight's.
class PairsInOrder {
 public:
  explicit PairsInOrder(const ParamLayout& layout) : params_(layout.params()) {}
  Pair Take(const ParamSpec& weight) {
    if (next_ == params_.size() || params_[next_].name != LoraName(weight.name, 'A')) return {};
    CHECK(next_ + 1 < params_.size() && params_[next_ + 1].name == LoraName(weight.name, 'B'));
    Pair pair{&params_[next_], &params_[next_ + 1]};
    next_ += 2;
    if (next_ < params_.size() && params_[next_].name == MagnitudeName(weight.name))
      pair.magnitude = &params_[next_++];
    return pair;
  }
  bool all_taken() const { return next_ == params_.size(); }

 private:
  const std::vector<ParamInfo>& params_;
  size_t next_ = 0;
};

Matrix MatrixOf(const ParamInfo& param, float* buffer) {
  return {buffer + param.offset, param.shape[0], param.shape[1]};
}

// Of a pair's matrix packed; of magnitudes what is kept beside them.
int64_t PackedFloats(const ParamInfo& param, Format format) {
  if (param.shape.size() == 1) return (2 * param.size + 15) / 16 * 16;
  return (ForwardBytes(format, param.shape[0], param.shape[1]) + 63) / 64 * 16;
}

// Rows begin ... of the base, as its products read them.
void BaseRows(const Weight& weight, int64_t begin, Matrix out) {
  if (IsInteger(weight.format) || !weight.w.data) return UnpackRows(weight, begin, out);
  for (int64_t i = 0; i < out.rows; ++i) {
    std::copy_n(weight.w.Row(begin + i), out.cols, out.Row(i));
    if (weight.format != Format::kBf16) continue;
    for (int64_t k = 0; k < out.cols; ++k) out(i, k) = ToFloat(RoundToBf16(out(i, k)));
  }
}

// norm[o] = that of row o of W + scale * B . A: the sum in f32, its squares in double.
void RowNorms(const Weight& weight, float* norm) {
  constexpr int64_t kRows = 16 * kUnpackedRows;
  const LowRank& adapter = weight.adapters.front();
  const int64_t rank = adapter.a.out(), in = weight.in();
  std::vector<float> numbers(static_cast<size_t>(kRows * (in + rank)));
  for (int64_t begin = 0; begin < weight.out(); begin += kRows) {
    const int64_t rows = std::min(kRows, weight.out() - begin);
    const Matrix sum(numbers.data(), rows, in), b(numbers.data() + kRows * in, rows, rank);
    BaseRows(weight, begin, sum);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t r = 0; r < rank; ++r) b(i, r) = adapter.scale * adapter.b.w(begin + i, r);
    }
    GemmNN(b, adapter.a.w, sum, /*accumulate=*/true);
    for (int64_t i = 0; i < rows; ++i)
      norm[begin + i] = static_cast<float>(std::sqrt(SumSquares(sum.Row(i), in)));
  }
}

}  // namespace

void ListFields(AdapterOptions& options, FieldList& list) {
  list.Add("kind", options.kind,
           "lora: small matrices beside the linear layers are trained, none: all weights; auto: "
           "lora for published models, none for this program's own");
  list.Add("rank", options.rank, "of the small matrices");
  list.Add("alpha", options.alpha, "their product counts alpha / rank times");
  list.Add("dora", options.dora,
           "train besides how large each output is, apart from its direction (DoRA)");
  list.Add("targets", options.targets,
           "linear layers that have them, by the last part of their names: q_proj, down_proj, ...; "
           "all: every one");
  list.Add("weights", options.weights,
           "format of the weights that stay as they are: f32, bf16, q8 or q4; auto: as their files "
           "hold them");
}

void Validate(const AdapterOptions& options) {
  const auto require = [](const std::string& name, const std::string& value,
                          const std::vector<std::string>& known) {
    if (std::ranges::find(known, value) == known.end())
      FailUsage("{} is '{}'; it must be {}", name, value, fmt::join(known, ", "));
  };
  require("kind", options.kind, {"auto", "lora", "none"});
  require("weights", options.weights, {"auto", "f32", "bf16", "q8", "q4"});
  constexpr int64_t kMost = 4096;
  if (options.rank < 1 || options.rank > kMost)
    FailUsage("rank is {}; it must be 1 to {} (8 to 32 is usual)", options.rank, kMost);
  if (!(options.alpha > 0))
    FailUsage("alpha is {}; it must be above 0 (twice the rank is usual)", options.alpha);
  if (options.dora && options.kind == "none")
    FailUsage("dora is true, but kind is none: there is no adapter; set kind to lora");
  if (options.weights != "auto" && options.kind == "none") {
    FailUsage(
        "weights is '{}', but kind is none: no weights stay as they are; set kind to lora, or "
        "weights to auto",
        options.weights);
  }
  if (options.targets.empty())
    FailUsage("targets is empty; name linear layers, or all (kind = \"none\" trains all weights)");
}

std::string LoraName(const std::string& weight, char which) {
  CHECK(weight.ends_with(".weight"));
  return fmt::format("base_model.model.{}.lora_{}.weight", weight.substr(0, weight.rfind('.')),
                     which);
}

std::string MagnitudeName(const std::string& weight) {
  return fmt::format("base_model.model.{}.lora_magnitude_vector",
                     weight.substr(0, weight.rfind('.')));
}

ParamLayout AdapterLayout(const ModelConfig& config, const AdapterOptions& options) {
  const std::set<std::string> wanted(options.targets.begin(), options.targets.end());
  const bool all = wanted.contains("all");
  std::vector<ParamSpec> tensors;
  std::set<std::string> modules;
  ModelGradients any;  // holds nothing
  ListAdaptable(config, any, [&](auto&, const ParamSpec& weight) {
    modules.insert(ModuleOf(weight.name));
    if (!all && !wanted.contains(ModuleOf(weight.name))) return;
    ParamSpec a = weight, b = weight;
    a.name = LoraName(weight.name, 'A');
    a.shape = {options.rank, weight.shape[1]};
    b.name = LoraName(weight.name, 'B');
    b.shape = {weight.shape[0], options.rank};
    a.kind = b.kind = ParamKind::kAdapter;
    tensors.push_back(a);
    tensors.push_back(b);
    if (!options.dora) return;
    ParamSpec magnitude = weight;
    magnitude.name = MagnitudeName(weight.name);
    magnitude.shape = {weight.shape[0]};
    magnitude.kind = ParamKind::kNorm;  // which does not decay
    tensors.push_back(magnitude);
  });
  for (const std::string& target : wanted) {
    if (target != "all" && !modules.contains(target))
      FailUsage("targets names '{}', which is no linear layer of this model; it has {}", target,
                fmt::join(modules, ", "));
  }
  return ParamLayout(tensors);
}

void InitializeAdapter(const ParamLayout& layout, uint64_t seed, float* values) {
  for (size_t tensor = 0; tensor < layout.params().size(); ++tensor) {
    const ParamInfo& param = layout.params()[tensor];
    float* out = values + param.offset;
    if (param.shape.size() == 1) continue;
    if (param.name.ends_with("lora_B.weight")) {
      std::fill_n(out, param.size, 0.0f);
      continue;
    }
    const double bound = 1 / std::sqrt(static_cast<double>(param.shape[1]));
    for (int64_t i = 0; i < param.size; ++i) {
      const double lot = RandomUniform(seed, RandomStream::kInit, tensor, static_cast<uint64_t>(i));
      out[i] = static_cast<float>((2 * lot - 1) * bound);
    }
  }
}

ModelGradients BindAdapterGradients(const ModelConfig& config, const ParamLayout& layout,
                                    float* gradients) {
  ModelGradients model;
  PairsInOrder pairs(layout);
  ListAdaptable(config, model, [&](WeightGradient& gradient, const ParamSpec& weight) {
    const Pair pair = pairs.Take(weight);
    if (!pair.a) return;
    gradient.a = MatrixOf(*pair.a, gradients);
    gradient.b = MatrixOf(*pair.b, gradients);
    if (pair.magnitude) gradient.magnitude = gradients + pair.magnitude->offset;
  });
  CHECK(pairs.all_taken());
  return model;
}

AdaptedWeights::AdaptedWeights(const ModelConfig& config, const ModelWeights& base,
                               const std::vector<AdapterValues>& adapters, Format format)
    : model_(base) {
  int64_t bytes = 0, most = 0;
  std::vector<PairsInOrder> pairs;
  const ParamLayout none(std::vector<ParamSpec>{});
  for (const AdapterValues& adapter : adapters) {
    const ParamLayout& layout = adapter.layout ? *adapter.layout : none;
    pairs.emplace_back(layout);
    bytes += Bytes(layout, format);
    most += static_cast<int64_t>(layout.params().size() / 2 * adapters.size());
  }
  packed_ = FloatBuffer(bytes / static_cast<int64_t>(sizeof(float)));
  adapters_.reserve(static_cast<size_t>(most));
  float* packed = packed_.data();
  const auto weight_of = [&](const ParamInfo& param, float* values) {
    Weight weight{MatrixOf(param, values), format, packed};
    packed += PackedFloats(param, format);
    return weight;
  };
  ListAdaptable(config, model_, [&](Weight& weight, const ParamSpec& spec) {
    std::vector<LowRank> own(adapters.size());
    for (size_t i = 0; i < adapters.size(); ++i) {
      const Pair pair = pairs[i].Take(spec);
      if (!pair.a) continue;
      own[i] = {weight_of(*pair.a, adapters[i].values), weight_of(*pair.b, adapters[i].values),
                static_cast<float>(adapters[i].scale)};
      if (!pair.magnitude) continue;
      CHECK(adapters.size() == 1);
      magnitudes_.push_back(
          {&weight, adapters[i].values + pair.magnitude->offset, packed, packed + weight.out()});
      packed += PackedFloats(*pair.magnitude, format);
      own[i].gain = magnitudes_.back().gain;
      own[i].inverse_norm = magnitudes_.back().inverse_norm;
    }
    if (std::ranges::none_of(own, &LowRank::present)) return;
    weight.adapters = {adapters_.data() + adapters_.size(), own.size()};
    adapters_.insert(adapters_.end(), own.begin(), own.end());
  });
  for (const PairsInOrder& one : pairs) CHECK(one.all_taken());
  Repack();
}

void AdaptedWeights::Repack() {
  ParallelFor(2 * static_cast<int64_t>(adapters_.size()), [&](int64_t i) {
    const LowRank& adapter = adapters_[static_cast<size_t>(i / 2)];
    const Weight& weight = i % 2 == 0 ? adapter.a : adapter.b;
    if (weight.present()) PackForward(weight, const_cast<void*>(weight.forward));
  });
  ParallelFor(static_cast<int64_t>(magnitudes_.size()), [&](int64_t i) {
    const Magnitudes& m = magnitudes_[static_cast<size_t>(i)];
    RowNorms(*m.weight, m.inverse_norm);
    for (int64_t o = 0; o < m.weight->out(); ++o) {
      const float norm = m.inverse_norm[o];
      m.gain[o] = norm > 0 ? m.magnitude[o] / norm : 0;
      m.inverse_norm[o] = norm > 0 ? 1 / norm : 0;
    }
  });
}

void AdaptedWeights::InitializeMagnitudes() {
  ParallelFor(static_cast<int64_t>(magnitudes_.size()), [&](int64_t i) {
    const Magnitudes& m = magnitudes_[static_cast<size_t>(i)];
    RowNorms(*m.weight, m.magnitude);
  });
}

int64_t AdaptedWeights::Bytes(const ParamLayout& layout, Format format) {
  int64_t floats = 0;
  for (const ParamInfo& param : layout.params()) floats += PackedFloats(param, format);
  return floats * static_cast<int64_t>(sizeof(float));
}

}  // namespace darkhorse
