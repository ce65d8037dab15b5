// The reinforcement-learning objective: GRPO (Shao et al. 2024, DeepSeekMath eq. 3) and its
// successors as fields of one loss. A loss here is a function of the log-probabilities of the
// sampled tokens; its gradient with respect to them is all that the model's backward pass needs
// (model/head.h).
//
// With r_t = exp(logp_t - logp_old_t), A the sample's advantage, w_t its normalisation and sg() a
// value without a gradient, the objectives are
//
//   clip:      L = -sum_t w_t min(r_t A, clip(r_t, 1 - clip_low, 1 + clip_high) A)
//              PPO, GRPO; clip_high > clip_low is DAPO's clip-higher (Yu et al. 2025, section 3.1)
//   cispo:     L = -sum_t w_t sg(min(r_t, 1 + clip_high)) A logp_t
//              MiniMax-M1 (2025), eq. 4
//   reinforce: L = -sum_t w_t A logp_t
//              Williams 1992
//
// ratio = sequence (GSPO, Zheng et al. 2025): every r_t is the sequence's geometric mean
// exp(mean_t(logp_t - logp_old_t)). importance_cap = c > 0 multiplies each term of an objective by
// sg(min(exp(logp_old_t - logp_sample_t), c)), truncated importance sampling.
//
// A teacher (on-policy distillation: Agarwal et al. 2023, arXiv 2306.13649; Lu and Thinking
// Machines Lab 2025) adds to the advantage of each token teacher_weight sg(logp_teacher_t -
// logp_old_t): in the mean over samples of the policy, its gradient is that of the reverse
// divergence KL(policy || teacher) of each token. To these come
//
//   + kl_beta sum_t w_t (exp(d_t) - d_t - 1),  d_t = logp_ref_t - logp_t (the k3 estimator)
//   - entropy_bonus sum_t w_t entropy_t
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/options.h"

namespace darkhorse {

// One sampled completion. Spans have one entry a completion token.
struct GrpoSample {
  double advantage = 0;
  // Contributes nothing (a truncated sample, say), but counts in the group's mean.
  bool masked = false;
  std::span<const float> logp;               // under the policy being trained
  std::span<const float> logp_old;           // under the policy before this step's updates
  std::span<const float> logp_sample;        // as the sampler reported it
  std::span<const float> logp_ref;           // under the reference policy; empty where kl_beta is 0
  std::span<const float> logp_teacher = {};  // empty: there is none
  double teacher_weight = 0;
};

// Denominators of the normalisation: over the whole batch of an optimizer step, also where it is
// computed in parts.
struct GrpoScale {
  int64_t tokens = 0;      // of samples that are not masked
  int64_t samples = 0;     // likewise
  int64_t max_tokens = 1;  // longest completion allowed
};

// Sums over tokens that are not masked.
struct GrpoMetrics {
  double loss = 0;        // without the entropy bonus
  double kl = 0;          // k3 against the reference policy, before kl_beta
  double teacher_kl = 0;  // logp_old - logp_teacher
  int64_t tokens = 0;
  int64_t clipped_low = 0, clipped_high = 0;
  double ratio_sum = 0;
  // Largest |logp_old - logp_sample| of any token: 0 where sampling is training's arithmetic.
  double sampling_gap = 0;
  void Add(const GrpoMetrics& other);
};

// Loss of one sample, and d(loss)/d(logp) into dlogp, d(loss)/d(entropy) into dentropy (one entry a
// token each).
GrpoMetrics GrpoSampleLoss(const GrpoOptions& options, const GrpoScale& scale,
                           const GrpoSample& sample, std::span<float> dlogp,
                           std::span<float> dentropy);

// rewards of consecutive groups of group_size samples -> advantages. A group of equal rewards gives
// zeros.
std::vector<double> Advantages(const GrpoOptions& options, std::span<const double> rewards,
                               int64_t group_size);

}  // namespace darkhorse
