// The reinforcement-learning objective: GRPO (Shao et al. 2024, DeepSeekMath eq. 3) and its
// successors as fields of one loss. A loss here is a function of the log-probabilities of the
// sampled tokens; its gradient with respect to them is all that the model's backward pass needs
// (model/head.h).
//
// With r_t = exp(logp_t - logp_old_t), A the sample's advantage and w_t its normalisation:
//   clip        L = -sum_t w_t min(r_t A, clip(r_t, 1 - clip_low, 1 + clip_high) A) PPO/GRPO;
//   clip_high > clip_low: DAPO cispo       L = -sum_t w_t sg(min(r_t, 1 + clip_high)) A logp_t
//   MiniMax-M1 reinforce   L = -sum_t w_t A logp_t Williams 1992
// ratio "sequence" (GSPO): r_t is replaced by the sequence's geometric mean s = exp(mean_t(logp_t -
// logp_old_t)). plus kl_beta * sum_t w_t (exp(d) - d - 1), d = logp_ref_t - logp_t (the k3
// estimator), minus entropy_bonus * sum_t w_t entropy_t.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fields.h"

namespace darkhorse {

struct GrpoOptions {
  std::string advantage = "mean";  // reward - group mean; "mean_std": over the group's deviation;
                                   // "batch_std": over the batch's
  std::string objective = "clip";  // or "cispo", "reinforce"
  std::string ratio = "token";     // or "sequence"
  std::string normalization = "token";  // w = 1/(tokens of the batch); "sequence": 1/(samples * own
                                        // length); "constant": 1/(samples * max)
  double clip_low = 0.2;
  double clip_high = 0.28;
  double kl_beta = 0;
  double entropy_bonus = 0;
  double importance_cap =
      0;  // truncated importance sampling against the sampler's log-probabilities; 0: off
};
void ListFields(GrpoOptions& options, FieldList& list);
void Validate(const GrpoOptions& options);  // UsageError

// One sampled completion. Spans have one entry a completion token.
struct GrpoSample {
  double advantage = 0;
  bool masked =
      false;  // contributes nothing (a truncated sample, say), but counts in the group's mean
  std::span<const float> logp;         // under the policy being trained
  std::span<const float> logp_old;     // under the policy before this step's updates
  std::span<const float> logp_sample;  // as the sampler reported it
  std::span<const float> logp_ref;     // under the reference; empty where kl_beta is 0
};

// Denominators of the normalisation: over the whole batch of an optimizer step, also where it is
// computed in parts.
struct GrpoScale {
  int64_t tokens = 0;      // of samples that are not masked
  int64_t samples = 0;     // likewise
  int64_t max_tokens = 1;  // longest completion allowed
};

struct GrpoMetrics {
  double loss = 0;
  double kl = 0;  // mean of k3 over tokens, against the reference
  int64_t tokens = 0;
  int64_t clipped_low = 0, clipped_high = 0;
  double ratio_sum = 0;
  double sampling_gap =
      0;  // largest |logp_old - logp_sample|: 0 where sampling is training's arithmetic
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
