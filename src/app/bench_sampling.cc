#include "app/bench_sampling.h"

#include <algorithm>

#include "app/live.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "kernel/peak.h"
#include "model/cost.h"
#include "rl/learner.h"

namespace darkhorse {
namespace {

double BandwidthGBs() {
  static const double bandwidth = MeasureBandwidthGBs(NumThreads());
  return bandwidth;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

double RooflineSeconds(const ModelConfig& config, CacheForm form,
                       std::span<const EngineStep> steps) {
  const double cache =
      static_cast<double>(form == CacheForm::kLatent ? LatentCacheBytesPerToken(config)
                                                     : ExpandedCacheBytesPerToken(config));
  const double head = 2 * static_cast<double>(config.vocab_size * config.hidden_size);
  double seconds = 0;
  for (const EngineStep& step : steps) {
    if (step.rows == 0) continue;
    const auto rows = static_cast<double>(step.rows);
    const double context = static_cast<double>(step.attended) / rows;
    const double flops = rows * ForwardFlopsPerToken(config, context, /*with_mtp=*/false) -
                         static_cast<double>(step.rows - step.sampled) * head;
    const double bytes =
        WeightBytesRead(config, step.rows) + static_cast<double>(step.cached) * cache;
    seconds += std::max(flops / (1e9 * PeakGflops()), bytes / (1e9 * BandwidthGBs()));
  }
  return seconds;
}

DecodingSpeed BenchDecoding(const Transformer& model, const ModelWeights& weights,
                            const DecodingBench& options) {
  std::vector<GenerationRequest> requests(static_cast<size_t>(options.sequences));
  for (size_t r = 0; r < requests.size(); ++r) {
    for (int64_t i = 0; i < options.prompt_tokens; ++i) {
      const uint64_t random = RandomBits(1, RandomStream::kTest, r, static_cast<uint64_t>(i));
      requests[r].prompt.push_back(
          static_cast<int32_t>(random % static_cast<uint64_t>(model.config().vocab_size)));
    }
    requests[r].stream = r;
    requests[r].max_tokens = 1 + options.new_tokens;
  }
  // All prompts are computed in one step, so that the others are decoding alone.
  const int64_t prompt_rows = options.sequences * options.prompt_tokens;
  Engine engine(model, weights, options.form, options.sequences, options.capacity(), prompt_rows);
  engine.Generate(requests);  // warms up: touches the whole cache
  int64_t tokens = 0;
  double start = 0;
  engine.Generate(requests, [&](const Completion&) {
    if (++tokens == options.sequences) start = SteadySeconds();
    return true;
  });
  const double seconds = SteadySeconds() - start;
  const std::vector<EngineStep>& steps = engine.stats().steps;
  return {static_cast<double>(tokens - options.sequences) / seconds,
          RooflineSeconds(model.config(), options.form, std::span(steps).subspan(1)) / seconds};
}

Json BenchReinforcement(const ReinforceRecipe& recipe, const std::string& model_directory,
                        int64_t rounds) {
  const std::unique_ptr<Environment> environment =
      MakeEnvironment(recipe.rl.tasks, recipe.problems, Note);
  Learner learner(recipe, model_directory, *environment);
  learner.Step();
  std::vector<double> seconds, sample, score, train, length, speed, share, trained;
  for (int64_t round = 0; round < rounds; ++round) {
    const int64_t before = learner.position.generated;
    const ReinforceMetrics m = learner.Step();
    const auto generated = static_cast<double>(learner.position.generated - before);
    const double whole = m.sample_seconds + m.score_seconds + m.train_seconds;
    seconds.push_back(whole);
    sample.push_back(m.sample_seconds / whole);
    score.push_back(m.score_seconds / whole);
    train.push_back(m.train_seconds / whole);
    length.push_back(m.mean_length);
    speed.push_back(generated / m.sample_seconds);
    share.push_back(
        RooflineSeconds(learner.trainer().config(), CacheForm::kExpanded, m.engine_steps) /
        m.sample_seconds);
  }
  const auto samples = static_cast<double>(recipe.rl.prompts_per_step * recipe.rl.group_size);
  return {{"step_seconds", Median(seconds)},
          {"samples_per_minute", 60 * samples / Median(seconds)},
          {"mean_length", Median(length)},
          {"sampled_tokens_per_second", Median(speed)},
          {"sampling_share_of_roofline", Median(share)},
          {"where_time_goes",
           {{"sample", Median(sample)}, {"score", Median(score)}, {"train", Median(train)}}}};
}

}  // namespace darkhorse
