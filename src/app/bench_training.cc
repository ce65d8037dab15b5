#include "app/bench_training.h"

#include <numeric>

#include "app/bench_sampling.h"
#include "app/live.h"
#include "base/clock.h"
#include "base/random.h"

namespace darkhorse {
namespace {

constexpr uint64_t kSeed = 1;

template <typename Function>
double SecondsOf(const Function& function) {
  const double begin = SteadySeconds();
  function();
  return SteadySeconds() - begin;
}

int32_t RandomToken(const ModelConfig& config, int64_t index) {
  return static_cast<int32_t>(RandomBits(kSeed, RandomStream::kTest, static_cast<uint64_t>(index)) %
                              static_cast<uint64_t>(config.vocab_size));
}

TokenBatch RandomBatch(const PretrainRecipe& recipe) {
  const int64_t length = recipe.train.sequence_length;
  TokenBatch batch;
  batch.sequence_rows = length;
  for (int64_t row = 0; row + length <= recipe.train.micro_batch_tokens; row += length) {
    batch.segments.push_back({.row = row, .rows = length});
  }
  for (int64_t i = 0; i < length * static_cast<int64_t>(batch.segments.size()); ++i) {
    batch.tokens.push_back(RandomToken(recipe.model, i));
  }
  return batch;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

Json WhereTimeGoes(const PartClock& clock, double scale, double update, double step) {
  Json result;
  double covered = 0;
  const auto add = [&](const char* part, double seconds) {
    result[part] = {{"milliseconds", 1e3 * seconds}, {"share", seconds / step}};
    covered += seconds;
  };
  for (const auto& [name, part] : {std::pair{"attention", Part::kAttention},
                                   {"dense_feed_forward", Part::kDenseFeedForward},
                                   {"experts_and_dispatch", Part::kExperts},
                                   {"router", Part::kRouter},
                                   {"mtp_modules_without_head", Part::kMtpModules},
                                   {"head_and_loss", Part::kHead},
                                   {"embedding_norms_residuals", Part::kRest}}) {
    if (clock.seconds(part) > 0) add(name, scale * clock.seconds(part));
  }
  add("optimizer", update);
  add("not_covered", step - covered);
  return result;
}

Json BenchTraining(const PretrainRecipe& recipe, int64_t rounds, TrainedModel& trained) {
  const TokenBatch batch = RandomBatch(recipe);
  std::vector<int32_t> target(batch.tokens.begin() + 1, batch.tokens.end());
  target.push_back(-1);
  const std::vector<float> weight(target.size(), 1.0f / static_cast<float>(target.size()));
  const LossInput input{batch, target, weight};
  std::vector<double> gradient_seconds, update_seconds;
  PartClock clock;
  // Two rounds warm up: the first touches memory, in the second the arena settles into one block.
  constexpr int64_t kWarmUp = 2;
  for (int64_t round = 0; round < rounds + kWarmUp; ++round) {
    trained.ZeroGradients();
    const double gradient = SecondsOf([&] {
      LossForwardBackward(trained.model(), trained.bound_weights(), input,
                          static_cast<float>(recipe.train.mtp_lambda),
                          static_cast<float>(recipe.train.balance_alpha), trained.arena(),
                          trained.bound_grads(), nullptr, round < kWarmUp ? nullptr : &clock);
    });
    const double update = SecondsOf([&] {
      trained.Update(1e-3);
      trained.bound_weights();  // packs them, where the format does
    });
    if (round < kWarmUp) continue;
    gradient_seconds.push_back(gradient);
    update_seconds.push_back(update);
  }
  const auto micro_batches = static_cast<double>(recipe.train.tokens_per_step) /
                             static_cast<double>(recipe.train.micro_batch_tokens);
  const double step = micro_batches * Median(gradient_seconds) + Median(update_seconds);
  const auto tokens = static_cast<double>(recipe.train.tokens_per_step);
  const double context = (static_cast<double>(recipe.train.sequence_length) + 1) / 2;
  const double gflops = tokens * trained.model().cost().TrainingFlopsPerToken(context) / step / 1e9;
  return {{"step_seconds", step},
          {"forward_backward_share", 1 - Median(update_seconds) / step},
          {"tokens_per_second", tokens / step},
          {"gflops", gflops},
          {"share_of_peak", gflops / PeakGflops(trained.format())},
          {"where_time_goes",
           WhereTimeGoes(clock, micro_batches / static_cast<double>(rounds), Mean(update_seconds),
                         micro_batches * Mean(gradient_seconds) + Mean(update_seconds))}};
}

}  // namespace darkhorse
