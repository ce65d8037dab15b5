// How fast a model samples, beside the roofline: what the same operations and bytes would take if
// only the cores' peak or only the bandwidth bound them, whichever is the slower. The bandwidth is
// that of reading as many bytes over and over: what fits the processor's caches comes from there.
#pragma once

#include <string>
#include <vector>

#include "app/output.h"
#include "infer/engine.h"
#include "rl/recipe.h"

namespace darkhorse {

double Median(std::vector<double> values);

// Seconds of a forward pass with the expanded cache: its operations at the peak, or its weights and
// cache, each read once, at the bandwidth, whichever is more. Integer products can be faster: their
// peak is not measured, f32's stands in.
double RooflineSeconds(const ModelCost& cost, Format weights, const EngineStep& step,
                       double peak_gflops, double bandwidth_gbs);

struct DecodingBench {
  CacheForm form = CacheForm::kExpanded;
  Format weights = Format::kF32;
  int64_t sequences = 1;
  int64_t prompt_tokens = 64, new_tokens = 64;  // of each
  int64_t capacity() const { return prompt_tokens + new_tokens + 1; }
};

struct DecodingSpeed {
  double tokens_per_second;
  double share_of_roofline;
};

// Random prompts, computed before the clock starts. new_tokens: at least 8. Weights: packed
// (model/packed_weights.h).
DecodingSpeed BenchDecoding(const Transformer& model, const ModelWeights& weights,
                            const DecodingBench& options);

// Steps of reinforcement learning on the checkpoint at `model_directory`, with its own problems and
// lengths of completions: samples a minute, sampling beside its roofline, and how sampling, scoring
// and training share a step's time. Medians of `rounds` steps; one before them warms up.
Json BenchReinforcement(const ReinforceRecipe& recipe, const std::string& model_directory,
                        int64_t rounds);

}  // namespace darkhorse
