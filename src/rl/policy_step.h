// One optimizer step of reinforcement learning: samples and advantages in, changed weights out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/grpo.h"
#include "rl/options.h"
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

// How samples are computed: about so many rows at once, prompts from a length on shared.
struct Packing {
  Packing(int64_t micro_batch, int64_t shared_prompt = 1)  // NOLINT: a number of rows is one
      : micro_batch_tokens(micro_batch), shared_prompt_tokens(shared_prompt) {}
  explicit Packing(const ReinforceOptions& rl)
      : Packing(rl.micro_batch_tokens, rl.shared_prompt_tokens) {}
  int64_t micro_batch_tokens, shared_prompt_tokens;
};

// Rows of several samples, each a document: prompt and completion but the last token. Samples that
// follow each other and have the same prompt, a long enough one, share its rows (Segment::prefix)
// but for its last token's, whose row predicts another token in each. target: the next token where
// it is a completion's, else -1.
struct PolicyBatch {
  TokenBatch batch;
  std::vector<int32_t> target;
  std::vector<std::pair<int64_t, size_t>>
      first_row;  // of each sample's completion targets, and its index
};

// Splits samples, in order, into batches of about packing.micro_batch_tokens rows. Where a batch
// ends between samples of one prompt, the next computes the prompt again.
std::vector<PolicyBatch> PackSamples(std::span<const PolicySample> samples, const Packing& packing);

// Operations of a forward pass over all of their rows.
double ForwardFlops(const ModelCost& cost, std::span<const PolicyBatch> batches);

// Log-probabilities of each sample's completion tokens under `weights`, in order.
std::vector<std::vector<float>> CompletionLogps(const Transformer& model,
                                                const ModelWeights& weights, const Packing& packing,
                                                Arena& arena,
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
                           const GrpoScale& scale, const Packing& packing, double lr_factor,
                           std::span<const PolicySample> samples);

}  // namespace darkhorse
