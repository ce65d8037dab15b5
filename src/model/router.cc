#include "model/router.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

constexpr int64_t kRouterRows = 64;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Index of the largest value; the first of equals.
int64_t ArgMax(const std::vector<float>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

// How good a group is: the sum of its two best (V3), or its best (V2).
float GroupScore(const float* begin, int64_t size, bool top_two) {
  float best = kMinusInfinity, second = kMinusInfinity;
  for (int64_t i = 0; i < size; ++i) {
    if (begin[i] > best) {
      second = best;
      best = begin[i];
    } else if (begin[i] > second) {
      second = begin[i];
    }
  }
  return top_two && size > 1 ? best + second : best;
}

// Calls visit(first_row, rows) for each sequence of the balance loss.
template <typename Visit>
void ForEachSequence(const TokenBatch& batch, Visit visit) {
  if (batch.sequence_rows > 0) {
    for (int64_t row = 0; row < batch.rows(); row += batch.sequence_rows)
      visit(row, std::min(batch.sequence_rows, batch.rows() - row));
  } else {
    for (const Segment& segment : batch.segments) visit(segment.row, segment.rows);
  }
}

// f_i of one sequence: how often expert i was chosen, relative to a uniform choice.
std::vector<double> ChoiceFrequency(const ModelConfig& config, const Routing& routing, int64_t row,
                                    int64_t rows) {
  std::vector<double> f(static_cast<size_t>(config.n_routed_experts));
  const int64_t k = config.num_experts_per_tok;
  const double unit = static_cast<double>(config.n_routed_experts) / static_cast<double>(k * rows);
  for (int64_t i = row * k; i < (row + rows) * k; ++i)
    f[static_cast<size_t>(routing.expert[i])] += unit;
  return f;
}

double Sum(const float* begin, int64_t n) { return std::accumulate(begin, begin + n, 0.0); }

// Adds alpha * d(balance loss)/d(scores).
void AddBalanceGradient(const PassContext& pass, const Routing& routing, float alpha,
                        Matrix dscores) {
  ForEachSequence(pass.batch, [&](int64_t row, int64_t rows) {
    const std::vector<double> f = ChoiceFrequency(pass.config, routing, row, rows);
    for (int64_t t = row; t < row + rows; ++t) {
      const float* s = routing.scores.Row(t);
      const double total = Sum(s, routing.scores.cols);
      double mean_f = 0;
      for (size_t i = 0; i < f.size(); ++i) mean_f += f[i] * s[i] / total;
      const double unit = alpha / (static_cast<double>(rows) * total);
      for (size_t i = 0; i < f.size(); ++i)
        dscores.Row(t)[i] += static_cast<float>(unit * (f[i] - mean_f));
    }
  });
}

}  // namespace

void SelectExperts(const ModelConfig& config, const float* scores, const float* bias,
                   int32_t* expert) {
  const int64_t experts = config.n_routed_experts;
  std::vector<float> choice(scores, scores + experts);
  if (bias) {
    for (int64_t i = 0; i < experts; ++i) choice[static_cast<size_t>(i)] += bias[i];
  }
  if (config.topk_method != "greedy" && config.n_group > 1) {
    const int64_t size = experts / config.n_group;
    std::vector<float> group(static_cast<size_t>(config.n_group));
    for (int64_t g = 0; g < config.n_group; ++g) {
      group[static_cast<size_t>(g)] =
          GroupScore(choice.data() + g * size, size, config.topk_method == "noaux_tc");
    }
    std::vector<bool> keep(group.size());
    for (int64_t i = 0; i < config.topk_group; ++i) {
      const int64_t best = ArgMax(group);
      keep[static_cast<size_t>(best)] = true;
      group[static_cast<size_t>(best)] = kMinusInfinity;
    }
    // Masked with -inf, as DeepSeek's own code does; with 0.0, as in transformers' V2, experts of
    // other groups under negative biases.
    for (int64_t i = 0; i < experts; ++i) {
      if (!keep[static_cast<size_t>(i / size)]) choice[static_cast<size_t>(i)] = kMinusInfinity;
    }
  }
  for (int64_t k = 0; k < config.num_experts_per_tok; ++k) {
    const int64_t best = ArgMax(choice);
    expert[k] = static_cast<int32_t>(best);
    choice[static_cast<size_t>(best)] = kMinusInfinity;
  }
  // NaN scores would choose the same expert twice; dispatch needs distinct ones. The loss is NaN
  // then, and the caller stops.
  for (int64_t k = 1; k < config.num_experts_per_tok; ++k) {
    while (std::find(expert, expert + k, expert[k]) != expert + k)
      expert[k] = static_cast<int32_t>((expert[k] + 1) % experts);
  }
}

Routing Route(const PassContext& pass, const MoeWeights& w, ConstMatrix x) {
  const ModelConfig& config = pass.config;
  const int64_t k = config.num_experts_per_tok;
  Routing routing{pass.arena.NewMatrix(x.rows, config.n_routed_experts),
                  pass.arena.Ints(x.rows * k), pass.arena.Floats(x.rows * k)};
  LinearForward(x, w.gate, routing.scores);
  if (config.scoring_func == "sigmoid") {
    Sigmoid(routing.scores, routing.scores);
  } else {
    SoftmaxRows(routing.scores, routing.scores);
  }
  const float scale = static_cast<float>(config.routed_scaling_factor);
  ParallelForRange(x.rows, kRouterRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int32_t* expert = routing.expert + t * k;
      float* weight = routing.weight + t * k;
      const float* scores = routing.scores.Row(t);
      SelectExperts(config, scores, w.e_score_correction_bias, expert);
      float sum = 1e-20f;  // as published; guards the division
      for (int64_t i = 0; i < k; ++i) sum += scores[expert[i]];
      const float unit = config.norm_topk_prob ? scale / sum : scale;
      for (int64_t i = 0; i < k; ++i) weight[i] = scores[expert[i]] * unit;
    }
  });
  return routing;
}

void RouteBackward(const PassContext& pass, const MoeWeights& w, const Routing& routing,
                   const float* dweight, ConstMatrix x, float balance_alpha, Matrix dx,
                   const MoeGradients& grads) {
  const ModelConfig& config = pass.config;
  const int64_t k = config.num_experts_per_tok;
  const int64_t experts = config.n_routed_experts;
  const double scale = config.routed_scaling_factor;
  ArenaScope scope(pass.arena);
  const Matrix dscores(pass.arena.Zeros(x.rows * experts), x.rows, experts);
  ParallelForRange(x.rows, kRouterRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* s = routing.scores.Row(t);
      const int32_t* expert = routing.expert + t * k;
      const float* dw = dweight + t * k;
      // w_i = scale * s_i / sum  =>  dL/ds_i = scale/sum * (dw_i - sum_j dw_j s_j / sum)
      double sum = 1e-20, mean = 0;
      for (int64_t i = 0; i < k; ++i) sum += s[expert[i]];
      for (int64_t i = 0; i < k; ++i) mean += static_cast<double>(dw[i]) * s[expert[i]] / sum;
      for (int64_t i = 0; i < k; ++i) {
        const double ds = config.norm_topk_prob ? scale / sum * (dw[i] - mean) : scale * dw[i];
        dscores(t, expert[i]) = static_cast<float>(ds);
      }
    }
  });
  if (balance_alpha > 0) AddBalanceGradient(pass, routing, balance_alpha, dscores);
  ParallelForRange(x.rows, kRouterRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* s = routing.scores.Row(t);
      float* d = dscores.Row(t);
      if (config.scoring_func == "sigmoid") {
        for (int64_t i = 0; i < experts; ++i) d[i] *= s[i] * (1 - s[i]);
      } else {
        double mean = 0;
        for (int64_t i = 0; i < experts; ++i) mean += static_cast<double>(d[i]) * s[i];
        for (int64_t i = 0; i < experts; ++i) d[i] = static_cast<float>(s[i] * (d[i] - mean));
      }
    }
  });
  LinearBackward(dscores, x, w.gate, dx, /*add_to_dx=*/true, grads.gate);
}

double BalanceLoss(const PassContext& pass, const Routing& routing) {
  double loss = 0;
  ForEachSequence(pass.batch, [&](int64_t row, int64_t rows) {
    const std::vector<double> f = ChoiceFrequency(pass.config, routing, row, rows);
    for (int64_t t = row; t < row + rows; ++t) {
      const float* s = routing.scores.Row(t);
      const double total = Sum(s, routing.scores.cols);
      for (size_t i = 0; i < f.size(); ++i)
        loss += f[i] * s[i] / (total * static_cast<double>(rows));
    }
  });
  return loss;
}

void CountLoad(const ModelConfig& config, const Routing& routing, int64_t rows,
               std::vector<int64_t>& counts) {
  counts.resize(static_cast<size_t>(config.n_routed_experts));
  for (int64_t i = 0; i < rows * config.num_experts_per_tok; ++i)
    ++counts[static_cast<size_t>(routing.expert[i])];
}

void UpdateRouterBias(const std::vector<int64_t>& counts, float gamma, float* bias) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const int64_t experts = static_cast<int64_t>(counts.size());
  for (int64_t i = 0; i < experts; ++i) {
    const int64_t excess =
        counts[static_cast<size_t>(i)] * experts - total;  // sign of count - mean, in integers
    bias[i] += excess < 0 ? gamma : excess > 0 ? -gamma : 0.0f;
  }
}

}  // namespace darkhorse
