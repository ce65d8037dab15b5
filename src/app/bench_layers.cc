#include "app/bench_layers.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernel/ops.h"
#include "model/head.h"

namespace darkhorse {
namespace {

class Clocks {
 public:
  template <typename Function>
  void Time(const char* part, const Function& function) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    Add(part, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  void Move(const char* from, const char* to, double seconds) {
    Add(from, -seconds);
    Add(to, seconds);
  }
  double& operator[](const char* part) { return Find(part); }
  const std::vector<std::pair<const char*, double>>& parts() const { return parts_; }

 private:
  void Add(const char* part, double seconds) { Find(part) += seconds; }
  double& Find(const char* part) {
    for (auto& [name, seconds] : parts_) {
      if (std::strcmp(name, part) == 0) return seconds;
    }
    return parts_.emplace_back(part, 0.0).second;
  }
  std::vector<std::pair<const char*, double>> parts_;
};

// One micro-batch through the layers, as Transformer and LossForwardBackward take it.
class ClockedStep {
 public:
  ClockedStep(const PretrainRecipe& recipe, const LossInput& input, Trainer& trainer,
              Clocks& clocks)
      : recipe_(recipe),
        input_(input),
        trainer_(trainer),
        clocks_(clocks),
        arena_(trainer.arena()),
        scope_(arena_),
        pass_{trainer.config(), trainer.model().rope().table(),
              input.batch,      RowPositions(input.batch, trainer.config(), arena_),
              nullptr,          arena_},
        eps_(static_cast<float>(trainer.config().rms_norm_eps)),
        layers_(w_.layers.size()) {}

  void Run() {
    const Matrix x = NewHidden(), hidden = NewHidden(), dhidden = NewHidden(), dx = NewHidden();
    float* inv_rms = arena_.Floats(x.rows);
    clocks_.Time(kRest, [&] { GatherRows(w_.embed_tokens, input_.batch.tokens, x); });
    for (size_t i = 0; i < layers_.size(); ++i) Forward(i, x);
    clocks_.Time(kRest, [&] { RmsNormForward(x, w_.norm, eps_, hidden, inv_rms); });
    if (!w_.mtp.empty()) Modules(hidden);
    Head(hidden, input_.target, input_.weight, dhidden);
    clocks_.Time(kRest, [&] {
      RmsNormBackward(dhidden, x, w_.norm, inv_rms, dx, /*add_to_dx=*/false, g_.norm);
    });
    for (size_t i = layers_.size(); i-- > 0;) Backward(i, dx);
    clocks_.Time(kRest, [&] { ScatterAddRows(dx, input_.batch.tokens, g_.embed_tokens); });
  }

 private:
  static constexpr const char* kAttention = "attention";
  static constexpr const char* kMlp = "dense_feed_forward";
  static constexpr const char* kExperts = "experts_and_dispatch";
  static constexpr const char* kRouter = "router";
  static constexpr const char* kModules = "mtp_modules_without_head";
  static constexpr const char* kHead = "head_and_loss";
  static constexpr const char* kRest = "embedding_norms_residuals";

  Matrix NewHidden() { return arena_.NewMatrix(pass_.rows(), pass_.config.hidden_size); }

  Matrix Copy(ConstMatrix x) {
    const Matrix copy = NewHidden();
    std::memcpy(copy.data, x.data, static_cast<size_t>(x.size()) * sizeof(float));
    return copy;
  }

  void Forward(size_t i, Matrix x) {
    const LayerWeights& w = w_.layers[i];
    LayerSaved& s = layers_[i];
    clocks_.Time(kRest, [&] {
      s.in = Copy(x);
      s.in_normed = NewHidden();
      s.in_inv_rms = arena_.Floats(x.rows);
      RmsNormForward(x, w.input_layernorm, eps_, s.in_normed, s.in_inv_rms);
    });
    clocks_.Time(kAttention, [&] {
      MlaForward(pass_, w.attention, static_cast<int64_t>(i), s.in_normed, x, &s.attention);
    });
    clocks_.Time(kRest, [&] {
      s.mid = Copy(x);
      s.mid_normed = NewHidden();
      s.mid_inv_rms = arena_.Floats(x.rows);
      RmsNormForward(x, w.post_attention_layernorm, eps_, s.mid_normed, s.mid_inv_rms);
    });
    if (!w.is_moe) {
      clocks_.Time(kMlp, [&] { MlpForward(pass_, w.mlp, s.mid_normed, x, &s.mlp); });
      return;
    }
    clocks_.Time(kExperts, [&] { MoeForward(pass_, w.moe, s.mid_normed, x, &s.moe); });
    ArenaScope scope(arena_);
    MoveToRouter([&] { Route(pass_, w.moe, s.mid_normed); });
  }

  void Backward(size_t i, Matrix dx) {
    const LayerWeights& w = w_.layers[i];
    LayerWeights& g = g_.layers[i];
    const LayerSaved& s = layers_[i];
    ArenaScope scope(arena_);
    const Matrix dnormed = NewHidden();
    if (w.is_moe) {
      clocks_.Time(kExperts, [&] {
        MoeBackward(pass_, w.moe, s.moe, dx, s.mid_normed, balance_alpha(), dnormed, g.moe);
      });
      const float* dweight = arena_.Zeros(pass_.rows() * pass_.config.num_experts_per_tok);
      MoveToRouter([&] {
        RouteBackward(pass_, w.moe, s.moe.routing, dweight, s.mid_normed, balance_alpha(), dnormed,
                      g.moe);
      });
    } else {
      clocks_.Time(kMlp, [&] {
        MlpBackward(pass_, w.mlp, s.mlp, dx, s.mid_normed, dnormed, /*add_to_dx=*/false, g.mlp);
      });
    }
    clocks_.Time(kRest, [&] {
      RmsNormBackward(dnormed, s.mid, w.post_attention_layernorm, s.mid_inv_rms, dx,
                      /*add_to_dx=*/true, g.post_attention_layernorm);
    });
    clocks_.Time(kAttention, [&] {
      MlaBackward(pass_, w.attention, s.attention, dx, s.in_normed, dnormed, g.attention);
    });
    clocks_.Time(kRest, [&] {
      RmsNormBackward(dnormed, s.in, w.input_layernorm, s.in_inv_rms, dx, /*add_to_dx=*/true,
                      g.input_layernorm);
    });
  }

  void Modules(ConstMatrix hidden) {
    std::vector<MtpSaved> modules(w_.mtp.size());
    ConstMatrix previous = hidden;
    for (size_t k = 0; k < modules.size(); ++k) {
      const auto depth = static_cast<int64_t>(k);
      modules[k].next = ShiftWithinSegments(input_.batch, input_.target.data(), depth);
      clocks_.Time(kModules, [&] { MtpForward(pass_, w_, depth, previous, &modules[k]); });
      previous = modules[k].out;
    }
    for (size_t k = modules.size(); k-- > 0;) {
      ArenaScope scope(arena_);
      const Matrix dout = NewHidden(), dprevious = NewHidden();
      const auto depth = static_cast<int64_t>(k);
      Head(modules[k].out, ShiftWithinSegments(input_.batch, input_.target.data(), depth + 1),
           input_.weight, dout);
      clocks_.Time(kModules, [&] {
        std::fill(dprevious.data, dprevious.data + dprevious.size(), 0.0f);
        MtpBackward(pass_, w_, depth, k > 0 ? modules[k - 1].out : hidden, modules[k],
                    balance_alpha(), dout, dprevious, g_);
      });
    }
  }

  void Head(ConstMatrix hidden, std::span<const int32_t> target, std::span<const float> weight,
            Matrix dhidden) {
    std::vector<float> logp(target.size());
    clocks_.Time(kHead, [&] {
      HeadBackward(hidden, w_.lm_head, target.data(), weight.data(), nullptr, arena_, dhidden,
                   g_.lm_head, logp.data());
    });
  }

  template <typename Function>
  void MoveToRouter(const Function& function) {
    Clocks alone;
    alone.Time(kRouter, function);
    clocks_.Move(kExperts, kRouter, alone[kRouter]);
  }

  float balance_alpha() const { return static_cast<float>(recipe_.train.balance_alpha); }

  const PretrainRecipe& recipe_;
  const LossInput& input_;
  Trainer& trainer_;
  Clocks& clocks_;
  Arena& arena_;
  ArenaScope scope_;
  const PassContext pass_;
  const float eps_;
  const ModelWeights& w_ = trainer_.bound_weights();
  ModelWeights& g_ = trainer_.bound_grads();
  std::vector<LayerSaved> layers_;
};

}  // namespace

Json BenchLayers(const PretrainRecipe& recipe, const LossInput& input, double step_seconds,
                 int64_t rounds, Trainer& trainer) {
  Clocks clocks;
  trainer.ZeroGradients();
  for (int64_t round = 0; round < rounds; ++round) {
    ClockedStep(recipe, input, trainer, clocks).Run();
  }
  const auto micro_batches = static_cast<double>(recipe.train.tokens_per_step) /
                             static_cast<double>(recipe.train.micro_batch_tokens);
  Clocks update;
  for (int64_t round = 0; round < rounds; ++round) {
    update.Time("optimizer", [&] { trainer.Update(1e-3); });
  }
  Json result;
  double covered = 0;
  const auto report = [&](const char* part, double seconds) {
    result[part] = {{"milliseconds", 1e3 * seconds}, {"share", seconds / step_seconds}};
    covered += seconds;
  };
  const auto each = static_cast<double>(rounds);
  for (const auto& [part, seconds] : clocks.parts()) report(part, seconds / each * micro_batches);
  report("optimizer", update["optimizer"] / each);
  report("not_covered", step_seconds - covered);
  return result;
}

}  // namespace darkhorse
