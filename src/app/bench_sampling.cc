#include "app/bench_sampling.h"

#include <algorithm>
#include <span>

#include "app/live.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernel/peak.h"
#include "model/cost.h"
#include "rl/learner.h"
#include "rl/own_problems.h"

namespace darkhorse {
namespace {

double BytesRead(const ModelCost& cost, Format weights, const EngineStep& step) {
  const Format cache = weights == Format::kBf16 ? Format::kBf16 : Format::kF32;
  return cost.WeightBytesRead(step.rows, weights) +
         static_cast<double>(step.cached * cost.CacheBytesPerToken(CacheForm::kExpanded, cache));
}

// Of all passes, each as one that reads as much as the greatest.
double RooflineSeconds(const ModelCost& cost, Format weights, std::span<const EngineStep> passes) {
  double most = 0, seconds = 0;
  for (const EngineStep& pass : passes) most = std::max(most, BytesRead(cost, weights, pass));
  const double bandwidth = MeasureBandwidthGBs(NumThreads(), static_cast<int64_t>(most));
  for (const EngineStep& pass : passes)
    seconds +=
        RooflineSeconds(cost, weights, pass,
                        PeakGflops(weights == Format::kBf16 ? weights : Format::kF32), bandwidth);
  return seconds;
}

}  // namespace

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

double RooflineSeconds(const ModelCost& cost, Format weights, const EngineStep& step,
                       double peak_gflops, double bandwidth_gbs) {
  return std::max(Flops(cost, step) / (1e9 * peak_gflops),
                  BytesRead(cost, weights, step) / (1e9 * bandwidth_gbs));
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
  // The prompts take at most a quarter of the steps.
  const int64_t prompt_rows = options.sequences * options.prompt_tokens;
  Engine engine(model, weights,
                {.form = options.form,
                 .slots = options.sequences,
                 .capacity = options.capacity(),
                 .prefill_rows = std::max<int64_t>(1024, 4 * prompt_rows / options.new_tokens)});
  engine.Generate(requests);  // warms up: touches the whole cache
  // The steps in which every sequence decodes. Each is timed from the end of the one before, so the
  // first only starts the clock.
  std::vector<EngineStep> decoding;
  double first = 0, last = 0;
  engine.Generate(requests, {}, [&](const EngineStep& step) {
    if (step.rows != options.sequences || step.sampled != options.sequences) return;
    last = SteadySeconds();
    if (decoding.empty()) first = last;
    decoding.push_back(step);
  });
  CHECK(decoding.size() > 1);
  const double roofline =
      RooflineSeconds(model.cost(), options.weights, std::span(decoding).subspan(1));
  const auto tokens = static_cast<double>((decoding.size() - 1) * requests.size());
  return {tokens / (last - first), roofline / (last - first)};
}

Json BenchReinforcement(const ReinforceRecipe& recipe, const std::string& model_directory,
                        int64_t rounds) {
  const TrainingStart start(model_directory, recipe.adapter, FormatOf(recipe.rl.precision));
  const ReinforceRecipe used = Decided(recipe, start);
  const std::unique_ptr<Environment> environment =
      MakeEnvironment(used.rl.tasks, used.problems, Note);
  const std::unique_ptr<Learner> learner = Learner::From(used, start, *environment);
  learner->Step({});
  std::vector<EngineStep> passes;  // of one round
  learner->on_engine_step = [&](const EngineStep& pass) { passes.push_back(pass); };
  std::vector<double> seconds, sample, tail, score, train, length, speed, share;
  for (int64_t round = 0; round < rounds; ++round) {
    passes.clear();
    const int64_t before = learner->progress().generated;
    const ReinforceMetrics m = learner->Step({});
    const auto generated = static_cast<double>(learner->progress().generated - before);
    const double whole = m.sample_seconds + m.score_seconds + m.train_seconds;
    seconds.push_back(whole);
    sample.push_back(m.sample_seconds);
    tail.push_back(m.tail_seconds);
    score.push_back(m.score_seconds);
    train.push_back(m.train_seconds);
    length.push_back(m.mean_length);
    speed.push_back(generated / m.sample_seconds);
    share.push_back(RooflineSeconds(learner->cost(), FormatOf(recipe.rl.precision), passes) /
                    m.sample_seconds);
  }
  const auto samples = static_cast<double>(recipe.rl.prompts_per_step * recipe.rl.group_size);
  const double parts = Median(sample) + Median(score) + Median(train);
  return {{"step_seconds", Median(seconds)},
          {"samples_per_minute", 60 * samples / Median(seconds)},
          {"mean_length", Median(length)},
          {"sampled_tokens_per_second", Median(speed)},
          {"sampling_share_of_roofline", Median(share)},
          {"tail", Median(tail) / Median(seconds)},
          {"where_time_goes",
           {{"sample", Median(sample) / parts},
            {"score", Median(score) / parts},
            {"train", Median(train) / parts}}}};
}

}  // namespace darkhorse
