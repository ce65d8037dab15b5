// The whole model as scalar formulas, templated on the number type: the definition that the fast
// model is tested against. Written from the papers' equations (DeepSeek-V3 report section 2 and
// DeepSeek-V2 section 2.1 for MLA, Peng et al. 2023 for YaRN) and nothing else, slowly on purpose.
//
// T = float or double computes the model, std::complex<double> its derivatives by the complex step
// (reference_gradient_testing.h), Taped (reference_tape_testing.h) a bound on what f32 arithmetic
// can be off. T needs + - * /, conversion from double, and exp, log, sqrt, RealPart found by
// argument.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/params.h"

namespace darkhorse {

inline double RealPart(double x) { return x; }
inline double RealPart(const std::complex<double>& x) { return x.real(); }
// How far the f32 value of x can be from x, where T knows (Taped does).
template <typename T>
double ErrorBound(const T&) {
  return 0;
}
// A constant that f32 code computes with at most this error.
template <typename T>
T InexactConstant(double value, double error) {
  if constexpr (requires { T::Inexact(value, error); }) {
    return T::Inexact(value, error);
  } else {
    return T(value);
  }
}

template <typename T>
struct ReferenceRows {
  int64_t rows = 0, cols = 0;
  std::vector<T> data;
  ReferenceRows() = default;
  ReferenceRows(int64_t rows_in, int64_t cols_in)
      : rows(rows_in), cols(cols_in), data(static_cast<size_t>(rows_in * cols_in), T(0.0)) {}
  T* operator[](int64_t row) { return data.data() + row * cols; }
  const T* operator[](int64_t row) const { return data.data() + row * cols; }
};

struct ReferenceInput {
  const TokenBatch& batch;
  std::span<const int32_t> target;  // [T] the token to predict at each row, -1: none
  std::span<const float> weight;    // [T]
  double mtp_lambda = 0;
  double balance_alpha = 0;
};

template <typename T>
struct ReferenceOutput {
  T loss = T(0.0);          // main_loss + mtp_lambda/D * mtp_loss + balance_alpha * balance_loss
  T main_loss = T(0.0);     // sum of weight * -log p(target)
  T mtp_loss = T(0.0);      // the same, summed over the modules
  T balance_loss = T(0.0);  // sum over MoE layers and sequences of sum_i f_i P_i
  ReferenceRows<T> hidden;  // [T, hidden] after the final norm
  ReferenceRows<T> logits;  // [T, vocab]
  std::vector<T> logp;      // [T] log p(target), 0 where there is none
  std::vector<std::vector<T>> mtp_logp;           // [D][T] the same for each module
  std::vector<std::vector<int64_t>> expert_load;  // [MoE layers][experts] tokens routed there
  // The least gap at a routing decision, error bounds taken off: if positive, no f32 implementation
  // decides otherwise.
  double margin = std::numeric_limits<double>::infinity();
};

template <typename T>
class Reference {
 public:
  Reference(const ModelConfig& config, const ParamLayout& layout) : config_(config) {
    for (const ParamInfo& param : layout.params()) offset_.emplace(param.name, param.offset);
  }

  // `weights`: a buffer of the layout.
  ReferenceOutput<T> Run(const T* weights, const ReferenceInput& input) const {
    const TokenBatch& batch = input.batch;
    CHECK(input.target.size() == batch.tokens.size() && input.weight.size() == input.target.size());
    ReferenceOutput<T> out;
    Context context{weights, input, out};
    Rows x(batch.rows(), config_.hidden_size);
    for (int64_t row = 0; row < x.rows; ++row) Embed(context, batch.tokens[row], x[row]);
    for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) Layer(context, layer, x);
    out.hidden = Norm(x, Tensor(context, "model.norm.weight"));
    out.logits = Linear(out.hidden, Head(context), config_.vocab_size);
    out.logp = LogProbabilities(context, out.logits, 0, &out.main_loss);
    Rows previous = out.hidden;
    for (int64_t k = 0; k < config_.num_nextn_predict_layers; ++k) {
      previous = MtpModule(context, k, previous);
      const Rows logits = Linear(previous, Head(context), config_.vocab_size);
      out.mtp_logp.push_back(LogProbabilities(context, logits, k + 1, &out.mtp_loss));
    }
    const auto depth = static_cast<double>(std::max<int64_t>(1, config_.num_nextn_predict_layers));
    out.loss = out.main_loss + T(input.mtp_lambda / depth) * out.mtp_loss +
               T(input.balance_alpha) * out.balance_loss;
    return out;
  }

 private:
  using Rows = ReferenceRows<T>;
  struct Context {
    const T* weights;
    const ReferenceInput& input;
    ReferenceOutput<T>& out;
  };
  struct Choice {
    std::vector<int64_t> expert;
    std::vector<T> weight;
  };

  const T* Tensor(const Context& context, const std::string& name) const {
    const auto found = offset_.find(name);
    CHECK(found != offset_.end());
    return context.weights + found->second;
  }
  const T* Head(const Context& context) const {
    return Tensor(context,
                  config_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  }
  void Embed(const Context& context, int64_t token, T* out) const {
    const int64_t hidden = config_.hidden_size;
    const T* table = Tensor(context, "model.embed_tokens.weight");
    for (int64_t i = 0; i < hidden; ++i) out[i] = table[token * hidden + i];
  }

  // y = x W^T, W [out, in] row-major.
  static void Project(const T* x, const T* w, int64_t in, int64_t out, T* y) {
    for (int64_t o = 0; o < out; ++o) {
      T sum(0.0);
      for (int64_t i = 0; i < in; ++i) sum += x[i] * w[o * in + i];
      y[o] = sum;
    }
  }
  static Rows Linear(const Rows& x, const T* w, int64_t out) {
    Rows y(x.rows, out);
    for (int64_t row = 0; row < x.rows; ++row) Project(x[row], w, x.cols, out, y[row]);
    return y;
  }
  static T Silu(const T& x) { return x / (T(1.0) + Exp(-x)); }
  static T Exp(const T& x) {
    using std::exp;
    return exp(x);
  }
  // x / sqrt(mean(x^2) + eps) * gain (Zhang and Sennrich 2019). In place is allowed.
  void NormRow(const T* x, const T* gain, int64_t n, T* y) const {
    using std::sqrt;
    T sum(0.0);
    for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
    const T rms = sqrt(sum / T(static_cast<double>(n)) + T(config_.rms_norm_eps));
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] / rms * gain[i];
  }
  Rows Norm(const Rows& x, const T* gain) const {
    Rows y(x.rows, x.cols);
    for (int64_t row = 0; row < x.rows; ++row) NormRow(x[row], gain, x.cols, y[row]);
    return y;
  }
  // exp(x - max) / sum, the max taken from the real part: a shift changes nothing.
  static std::vector<T> Softmax(const std::vector<T>& x) {
    double top = -std::numeric_limits<double>::infinity();
    for (const T& value : x) top = std::max(top, RealPart(value));
    std::vector<T> y;
    T sum(0.0);
    for (const T& value : x) {
      y.push_back(Exp(value - T(top)));
      sum += y.back();
    }
    for (T& value : y) value = value / sum;
    return y;
  }

  // Pre-norm residual layer.
  void Layer(Context& context, int64_t index, Rows& x) const {
    const std::string prefix = "model.layers." + std::to_string(index) + ".";
    const auto add = [&x](const Rows& y) {
      for (size_t i = 0; i < x.data.size(); ++i) x.data[i] += y.data[i];
    };
    add(Attention(context, prefix + "self_attn.",
                  Norm(x, Tensor(context, prefix + "input_layernorm.weight"))));
    const Rows in = Norm(x, Tensor(context, prefix + "post_attention_layernorm.weight"));
    add(config_.IsMoeLayer(index) ? Moe(context, prefix + "mlp.", in)
                                  : Mlp(context, prefix + "mlp", in, config_.intermediate_size));
  }

  // ---- rotary positions ----

  // The angle per position of pair j, and YaRN's interpolation of it: pairs that turn more than
  // beta_fast times within the original context keep their frequency, those that turn less than
  // beta_slow times are slowed by `factor`, between them a linear ramp.
  double InverseFrequency(int64_t pair) const {
    const auto dim = static_cast<double>(config_.rotary_dim());
    const double plain = std::pow(config_.rope_theta, -2.0 * static_cast<double>(pair) / dim);
    const RopeScaling& yarn = config_.rope_scaling;
    if (yarn.type == "linear") return plain / yarn.factor;
    if (yarn.type == "llama3") return Llama3Frequency(plain);
    if (yarn.type != "yarn") return plain;
    const auto pair_with_turns = [&](double turns) {
      const auto length = static_cast<double>(yarn.original_max_position_embeddings);
      return dim * std::log(length / (turns * 2 * std::numbers::pi)) /
             (2 * std::log(config_.rope_theta));
    };
    const double low = std::max(0.0, std::floor(pair_with_turns(yarn.beta_fast)));
    double high = std::min(dim - 1, std::ceil(pair_with_turns(yarn.beta_slow)));
    if (high == low) high += 0.001;
    const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
    return plain / yarn.factor * ramp + plain * (1 - ramp);
  }
  // Llama 3.1's extension, by wavelength: short ones are kept, long ones stretched by `factor`,
  // between them both are mixed.
  double Llama3Frequency(double plain) const {
    const RopeScaling& s = config_.rope_scaling;
    const auto original = static_cast<double>(s.original_max_position_embeddings);
    const double wavelength = 2 * std::numbers::pi / plain;
    if (wavelength < original / s.high_freq_factor) return plain;
    if (wavelength > original / s.low_freq_factor) return plain / s.factor;
    const double smooth =
        (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    return (1 - smooth) * plain / s.factor + smooth * plain;
  }
  double RotationScale() const {
    const RopeScaling& yarn = config_.rope_scaling;
    if (yarn.type == "yarn" && yarn.attention_factor > 0) return yarn.attention_factor;
    if (yarn.type != "yarn" || yarn.factor <= 1) return 1;
    const auto mscale = [&](double m) { return 0.1 * m * std::log(yarn.factor) + 1; };
    return mscale(yarn.mscale) / mscale(yarn.mscale_all_dim);
  }
  // (x0, x1), (x2, x3), …, or (x0, xn/2), (x1, xn/2+1), …, are rotated as complex numbers.
  void Rotate(int64_t position, T* x) const {
    const int64_t pairs = config_.rotary_dim() / 2;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const double angle = static_cast<double>(position) * InverseFrequency(pair);
      // An f32 angle is off by its rounding and that of the frequency, the power in it included.
      const double scale = RotationScale(), error = scale * 0x1p-24 * (2 + 8 * angle);
      const T cosine = InexactConstant<T>(scale * std::cos(angle), error);
      const T sine = InexactConstant<T>(scale * std::sin(angle), error);
      T& first = x[config_.rope_interleave ? 2 * pair : pair];
      T& second = x[config_.rope_interleave ? 2 * pair + 1 : pair + pairs];
      const T a = first, b = second;
      first = a * cosine - b * sine;
      second = a * sine + b * cosine;
    }
  }

  // ---- multi-head latent attention: DeepSeek-V2 eq. 9-19, DeepSeek-V3 section 2.1.1 ----

  Rows Queries(const Context& context, const std::string& prefix, const Rows& x) const {
    const int64_t width = config_.num_attention_heads * config_.key_dim();
    if (config_.q_lora_rank == 0)
      return Linear(x, Tensor(context, prefix + "q_proj.weight"), width);
    const Rows latent = Linear(x, Tensor(context, prefix + "q_a_proj.weight"), config_.q_lora_rank);
    return Linear(Norm(latent, Tensor(context, prefix + "q_a_layernorm.weight")),
                  Tensor(context, prefix + "q_b_proj.weight"), width);
  }

  Rows Attention(const Context& context, const std::string& prefix, const Rows& x) const {
    return config_.kv_lora_rank > 0 ? LatentAttention(context, prefix, x)
                                    : GroupedQueryAttention(context, prefix, x);
  }

  // The rows of the tokens that a row attends to, in order.
  static std::vector<int64_t> SeenFrom(const Segment& segment, int64_t row) {
    std::vector<int64_t> seen;
    for (int64_t i = 0; i < segment.prefix_rows(); ++i) seen.push_back(segment.prefix + i);
    for (int64_t own = segment.row; own <= row; ++own) seen.push_back(own);
    return seen;
  }

  Rows LatentAttention(const Context& context, const std::string& prefix, const Rows& x) const {
    const int64_t heads = config_.num_attention_heads, nope = config_.qk_nope_head_dim,
                  rope = config_.qk_rope_head_dim, v_dim = config_.v_head_dim,
                  latent_dim = config_.kv_lora_rank;
    Rows q = Queries(context, prefix, x);
    Rows latent(x.rows, latent_dim), k_rope(x.rows, rope);
    const Rows kv_a =
        Linear(x, Tensor(context, prefix + "kv_a_proj_with_mqa.weight"), latent_dim + rope);
    for (int64_t row = 0; row < x.rows; ++row) {
      std::copy_n(kv_a[row], latent_dim, latent[row]);
      std::copy_n(kv_a[row] + latent_dim, rope, k_rope[row]);
    }
    const Rows kv = Linear(Norm(latent, Tensor(context, prefix + "kv_a_layernorm.weight")),
                           Tensor(context, prefix + "kv_b_proj.weight"), heads * (nope + v_dim));
    Rows mixed(x.rows, heads * v_dim);
    for (const Segment& segment : context.input.batch.segments) {
      for (int64_t row = segment.row; row < segment.row + segment.rows; ++row) {
        const int64_t position = segment.position + row - segment.row;
        const std::vector<int64_t> seen = SeenFrom(segment, row);
        Rotate(position, k_rope[row]);
        for (int64_t head = 0; head < heads; ++head) {
          T* query = q[row] + head * (nope + rope);
          Rotate(position, query + nope);
          std::vector<T> score;
          for (const int64_t other : seen) {
            const T* key = kv[other] + head * (nope + v_dim);
            T sum(0.0);
            for (int64_t i = 0; i < nope; ++i) sum += query[i] * key[i];
            for (int64_t i = 0; i < rope; ++i) sum += query[nope + i] * k_rope[other][i];
            score.push_back(sum * T(config_.SoftmaxScale()));
          }
          const std::vector<T> p = Softmax(score);
          T* out = mixed[row] + head * v_dim;
          for (size_t j = 0; j < seen.size(); ++j) {
            const T* value = kv[seen[j]] + head * (nope + v_dim) + nope;
            for (int64_t i = 0; i < v_dim; ++i) out[i] += p[j] * value[i];
          }
        }
      }
    }
    return Linear(mixed, Tensor(context, prefix + "o_proj.weight"), x.cols);
  }

  // ---- grouped-query attention: Ainslie et al. 2023; biases as in Qwen2, norms as in Qwen3 ----

  Rows Projection(const Context& context, const std::string& name, const Rows& x, int64_t out,
                  bool biased) const {
    Rows y = Linear(x, Tensor(context, name + ".weight"), out);
    if (!biased) return y;
    const T* bias = Tensor(context, name + ".bias");
    for (int64_t row = 0; row < y.rows; ++row) {
      for (int64_t i = 0; i < out; ++i) y[row][i] += bias[i];
    }
    return y;
  }

  // Queries or keys of `heads` heads, normed and rotated.
  Rows RotatedHeads(const Context& context, const std::string& prefix, const char* what,
                    const Rows& x, int64_t heads) const {
    const int64_t width = config_.head_dim;
    Rows y = Projection(context, prefix + what + "_proj", x, heads * width, config_.attention_bias);
    for (const Segment& segment : context.input.batch.segments) {
      for (int64_t row = segment.row; row < segment.row + segment.rows; ++row) {
        for (int64_t head = 0; head < heads; ++head) {
          T* vector = y[row] + head * width;
          if (config_.qk_norm) {
            NormRow(vector, Tensor(context, prefix + what + "_norm.weight"), width, vector);
          }
          Rotate(segment.position + row - segment.row, vector);
        }
      }
    }
    return y;
  }

  Rows GroupedQueryAttention(const Context& context, const std::string& prefix,
                             const Rows& x) const {
    const int64_t heads = config_.num_attention_heads, key_heads = config_.num_key_value_heads,
                  width = config_.head_dim;
    const Rows q = RotatedHeads(context, prefix, "q", x, heads);
    const Rows k = RotatedHeads(context, prefix, "k", x, key_heads);
    const Rows v =
        Projection(context, prefix + "v_proj", x, key_heads * width, config_.attention_bias);
    Rows mixed(x.rows, heads * width);
    for (const Segment& segment : context.input.batch.segments) {
      for (int64_t row = segment.row; row < segment.row + segment.rows; ++row) {
        const std::vector<int64_t> seen = SeenFrom(segment, row);
        for (int64_t head = 0; head < heads; ++head) {
          const int64_t shared = head / (heads / key_heads) * width;
          std::vector<T> score;
          for (const int64_t other : seen) {
            T sum(0.0);
            for (int64_t i = 0; i < width; ++i)
              sum += q[row][head * width + i] * k[other][shared + i];
            score.push_back(sum * T(config_.SoftmaxScale()));
          }
          const std::vector<T> p = Softmax(score);
          T* out = mixed[row] + head * width;
          for (size_t j = 0; j < seen.size(); ++j) {
            for (int64_t i = 0; i < width; ++i) out[i] += p[j] * v[seen[j]][shared + i];
          }
        }
      }
    }
    return Projection(context, prefix + "o_proj", mixed, x.cols, config_.attention_output_bias);
  }

  // ---- feed-forward ----

  // W_down(silu(W_gate x) * W_up x) (Shazeer 2020).
  void MlpRow(const Context& context, const std::string& name, int64_t intermediate, const T* x,
              T* y) const {
    const int64_t hidden = config_.hidden_size;
    std::vector<T> gate(intermediate), up(intermediate);
    Project(x, Tensor(context, name + ".gate_proj.weight"), hidden, intermediate, gate.data());
    Project(x, Tensor(context, name + ".up_proj.weight"), hidden, intermediate, up.data());
    for (int64_t i = 0; i < intermediate; ++i) gate[i] = Silu(gate[i]) * up[i];
    Project(gate.data(), Tensor(context, name + ".down_proj.weight"), intermediate, hidden, y);
  }
  Rows Mlp(const Context& context, const std::string& name, const Rows& x,
           int64_t intermediate) const {
    Rows y(x.rows, x.cols);
    for (int64_t row = 0; row < x.rows; ++row) MlpRow(context, name, intermediate, x[row], y[row]);
    return y;
  }

  // What a choice is made by, and the error bound of it.
  struct Keys {
    std::vector<double> value, error;
  };
  // The indices of the `count` largest, largest first; ties go to the lower index.
  static std::vector<int64_t> Top(const Keys& keys, int64_t count, double* margin) {
    std::vector<int64_t> order;
    for (size_t i = 0; i < keys.value.size(); ++i) order.push_back(static_cast<int64_t>(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return keys.value[a] > keys.value[b]; });
    double least = std::numeric_limits<double>::infinity(), most = -least;
    for (size_t i = 0; i < order.size(); ++i) {
      const double value = keys.value[order[i]], error = keys.error[order[i]];
      if (static_cast<int64_t>(i) < count) {
        least = std::min(least, value - error);
      } else {
        most = std::max(most, value + error);
      }
    }
    *margin = std::min(*margin, least - most);
    order.resize(count);
    return order;
  }

  std::vector<T> Affinities(const T* logits) const {
    std::vector<T> s(logits, logits + config_.n_routed_experts);
    if (config_.scoring_func == "softmax") return Softmax(s);
    for (T& value : s) value = T(1.0) / (T(1.0) + Exp(-value));
    return s;
  }

  // DeepSeek-V3 eq. 12-16 (noaux_tc), DeepSeek-V2 section 2.2.1 (softmax, by group maximum). What
  // is chosen is a decision: real parts only.
  Choice Route(Context& context, const std::vector<T>& s, const T* bias) const {
    const int64_t experts = config_.n_routed_experts, groups = config_.n_group;
    const bool noaux = config_.topk_method == "noaux_tc";
    Keys keys;
    for (int64_t i = 0; i < experts; ++i) {
      const T key = noaux ? s[i] + bias[i] : s[i];
      keys.value.push_back(RealPart(key));
      keys.error.push_back(ErrorBound(key));
    }
    if (config_.topk_method != "greedy") {
      const int64_t size = experts / groups;
      Keys score;
      for (int64_t group = 0; group < groups; ++group) {
        std::vector<double> member(keys.value.begin() + group * size,
                                   keys.value.begin() + (group + 1) * size);
        std::sort(member.rbegin(), member.rend());
        const bool two = noaux && size > 1;
        score.value.push_back(two ? member[0] + member[1] : member[0]);
        score.error.push_back((two ? 2 : 1) *
                              *std::max_element(keys.error.begin() + group * size,
                                                keys.error.begin() + (group + 1) * size));
      }
      const auto kept = Top(score, config_.topk_group, &context.out.margin);
      for (int64_t i = 0; i < experts; ++i) {
        if (std::find(kept.begin(), kept.end(), i / size) == kept.end())
          keys.value[i] = -std::numeric_limits<double>::infinity();
      }
    }
    Choice choice{Top(keys, config_.num_experts_per_tok, &context.out.margin), {}};
    T sum = T(1e-20);
    for (const int64_t expert : choice.expert) sum += s[expert];
    for (const int64_t expert : choice.expert) {
      const T weight = config_.norm_topk_prob ? s[expert] / sum : s[expert];
      choice.weight.push_back(weight * T(config_.routed_scaling_factor));
    }
    return choice;
  }

  // y = sum of w_i FFN_i(x) over the chosen experts + FFN_shared(x).
  Rows Moe(Context& context, const std::string& prefix, const Rows& x) const {
    const T* bias = config_.topk_method == "noaux_tc"
                        ? Tensor(context, prefix + "gate.e_score_correction_bias")
                        : nullptr;
    const Rows logits =
        Linear(x, Tensor(context, prefix + "gate.weight"), config_.n_routed_experts);
    const int64_t shared = config_.n_shared_experts * config_.moe_intermediate_size;
    Rows y = shared > 0 ? Mlp(context, prefix + "shared_experts", x, shared) : Rows(x.rows, x.cols);
    std::vector<std::vector<T>> affinity;
    std::vector<std::vector<int64_t>> chosen;
    std::vector<int64_t> load(config_.n_routed_experts);
    std::vector<T> part(x.cols);
    for (int64_t row = 0; row < x.rows; ++row) {
      affinity.push_back(Affinities(logits[row]));
      const Choice choice = Route(context, affinity.back(), bias);
      for (size_t i = 0; i < choice.expert.size(); ++i) {
        const std::string name = prefix + "experts." + std::to_string(choice.expert[i]);
        MlpRow(context, name, config_.moe_intermediate_size, x[row], part.data());
        for (int64_t c = 0; c < x.cols; ++c) y[row][c] += choice.weight[i] * part[c];
        ++load[choice.expert[i]];
      }
      chosen.push_back(choice.expert);
    }
    context.out.expert_load.push_back(load);
    AddBalanceLoss(context, affinity, chosen);
    return y;
  }

  // DeepSeek-V3 eq. 17-20, without alpha.
  void AddBalanceLoss(Context& context, const std::vector<std::vector<T>>& affinity,
                      const std::vector<std::vector<int64_t>>& chosen) const {
    const int64_t experts = config_.n_routed_experts;
    const auto add_sequence = [&](int64_t begin, int64_t end) {
      const auto rows = static_cast<double>(end - begin);
      std::vector<double> count(experts);
      std::vector<T> probability(experts, T(0.0));
      for (int64_t row = begin; row < end; ++row) {
        for (const int64_t expert : chosen[row]) count[expert] += 1;
        T sum(0.0);
        for (const T& s : affinity[row]) sum += s;
        for (int64_t i = 0; i < experts; ++i) probability[i] += affinity[row][i] / sum / T(rows);
      }
      const double scale =
          static_cast<double>(experts) / (static_cast<double>(config_.num_experts_per_tok) * rows);
      for (int64_t i = 0; i < experts; ++i)
        context.out.balance_loss += T(scale * count[i]) * probability[i];
    };
    const auto total = static_cast<int64_t>(affinity.size());
    const int64_t step = context.input.batch.sequence_rows;
    if (step > 0) {
      for (int64_t row = 0; row < total; row += step)
        add_sequence(row, std::min(row + step, total));
    } else {
      for (const Segment& s : context.input.batch.segments) add_sequence(s.row, s.row + s.rows);
    }
  }

  // ---- predictions ----

  // The target `ahead` rows further on in the row's own segment, or -1.
  static int32_t TargetAhead(const Context& context, const Segment& segment, int64_t row,
                             int64_t ahead) {
    return row + ahead < segment.row + segment.rows ? context.input.target[row + ahead] : -1;
  }

  // log p of the targets `ahead` rows on; adds weight * -log p to *loss.
  std::vector<T> LogProbabilities(const Context& context, const Rows& logits, int64_t ahead,
                                  T* loss) const {
    using std::log;
    std::vector<T> logp(logits.rows, T(0.0));
    for (const Segment& segment : context.input.batch.segments) {
      for (int64_t row = segment.row; row < segment.row + segment.rows; ++row) {
        const int32_t target = TargetAhead(context, segment, row, ahead);
        if (target < 0) continue;
        double top = -std::numeric_limits<double>::infinity();
        for (int64_t v = 0; v < logits.cols; ++v) top = std::max(top, RealPart(logits[row][v]));
        T sum(0.0);
        for (int64_t v = 0; v < logits.cols; ++v) sum += Exp(logits[row][v] - T(top));
        logp[row] = logits[row][target] - T(top) - log(sum);
        *loss += T(-static_cast<double>(context.input.weight[row + ahead])) * logp[row];
      }
    }
    return logp;
  }

  // DeepSeek-V3 eq. 21-23; eh_proj takes the embedding first, as the published weights do. Returns
  // the hidden states after shared_head.norm.
  Rows MtpModule(Context& context, int64_t k, const Rows& previous) const {
    const int64_t hidden = config_.hidden_size, layer = config_.num_hidden_layers + k;
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    Rows in(previous.rows, 2 * hidden);
    for (const Segment& segment : context.input.batch.segments) {
      for (int64_t row = segment.row; row < segment.row + segment.rows; ++row) {
        const int32_t token = TargetAhead(context, segment, row, k);
        if (token >= 0) Embed(context, token, in[row]);
        NormRow(in[row], Tensor(context, prefix + "enorm.weight"), hidden, in[row]);
        NormRow(previous[row], Tensor(context, prefix + "hnorm.weight"), hidden, in[row] + hidden);
      }
    }
    Rows x = Linear(in, Tensor(context, prefix + "eh_proj.weight"), hidden);
    Layer(context, layer, x);
    return Norm(x, Tensor(context, prefix + "shared_head.norm.weight"));
  }

  const ModelConfig config_;
  std::unordered_map<std::string, int64_t> offset_;
};

}  // namespace darkhorse
