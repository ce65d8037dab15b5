// One optimizer step of reinforcement learning: samples and advantages in, changed weights out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/grpo.h"
#include "rl/rollout.h"
#include "train/expert_load.h"
#include "train/trained_model.h"

namespace darkhorse {

// A sample on its way through training.
struct PolicySample {
  const Sample* sample = nullptr;
  double advantage = 0;
  bool masked = false;
  std::vector<float> logp_old, logp_ref;  // a completion token each; see PolicyUpdate
  std::vector<float> logp_teacher = {};   // likewise; empty: there is no teacher
  double teacher_weight = 0;
};

// Rows of several samples, each a document: prompt and completion but the last token. Samples that
// follow each other and have the same prompt share its rows (Segment::prefix) but for its last
// token's, whose row predicts another token in each. target: the next token where it is a
// completion's, else -1.
struct PolicyBatch {
  TokenBatch batch;
  std::vector<int32_t> target;
  std::vector<std::pair<int64_t, size_t>>
      first_row;  // of each sample's completion targets, and its index
};

// Splits samples, in order, into batches of about micro_batch_tokens rows. Where a batch ends
// between samples of one prompt, the next computes the prompt again.
std::vector<PolicyBatch> PackSamples(std::span<const PolicySample> samples,
                                     int64_t micro_batch_tokens);

// Operations of a forward pass over all of their rows.
double ForwardFlops(const ModelCost& cost, std::span<const PolicyBatch> batches);

// Log-probabilities of each sample's completion tokens under `weights`, in order.
std::vector<std::vector<float>> CompletionLogps(const Transformer& model,
                                                const ModelWeights& weights,
                                                int64_t micro_batch_tokens, Arena& arena,
                                                std::span<const PolicySample> samples);

// What the losses of these samples are divided by where they make one optimizer step.
GrpoScale ScaleOf(std::span<const PolicySample> samples, int64_t max_tokens);

struct PolicyMetrics {
  GrpoMetrics grpo;
  double entropy = 0;  // mean over the tokens trained on
  double grad_norm = 0;
  ExpertLoad load;
};

// Forward, objective, backward, update. Where a sample's logp_old is empty, the policy is the one
// that sampled it: its own log-probabilities, taken in the same pass, are the old ones.
PolicyMetrics PolicyUpdate(TrainedModel& trained, const GrpoOptions& options,
                           const GrpoScale& scale, int64_t micro_batch_tokens, double lr_factor,
                           std::span<const PolicySample> samples);

}  // namespace darkhorse
