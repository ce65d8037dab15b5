// `darkhorse bench`: how fast a recipe's model trains and decodes here, beside what the machine can
// do. Weights and tokens are random: speed does not depend on them, but for the balance of experts.
// Given a checkpoint, how fast it is reinforced, which depends on what it says.
#include <algorithm>
#include <chrono>

#include "app/app.h"
#include "app/bench_sampling.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/recipes.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "infer/packed.h"
#include "model/cost.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace darkhorse {
namespace {

constexpr uint64_t kSeed = 1;

struct BenchOptions {
  RecipeArguments recipe;
  std::string model;
  int64_t rounds = 3;
  std::vector<int64_t> batches = {1, 32, 128};
  int64_t prompt_tokens = 64;
  int64_t new_tokens = 64;
  std::string cache = "expanded";
  bool json = false;
};

template <typename Function>
double SecondsOf(const Function& function) {
  const auto begin = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

// Milliseconds of each part of the model in a step, and its share of the step. The clock's seconds
// count `scale` times. What remains, positive or negative, is the spread between the rounds: the
// step is made of medians, its parts of means.
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

Json BenchTraining(const PretrainRecipe& recipe, int64_t rounds, Trainer& trainer) {
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
    trainer.ZeroGradients();
    const double gradient = SecondsOf([&] {
      LossForwardBackward(trainer.model(), trainer.bound_weights(), input,
                          static_cast<float>(recipe.train.mtp_lambda),
                          static_cast<float>(recipe.train.balance_alpha), trainer.arena(),
                          trainer.bound_grads(), nullptr, round < kWarmUp ? nullptr : &clock);
    });
    const double update = SecondsOf([&] { trainer.Update(1e-3); });
    if (round < kWarmUp) continue;
    gradient_seconds.push_back(gradient);
    update_seconds.push_back(update);
  }
  const auto micro_batches = static_cast<double>(recipe.train.tokens_per_step) /
                             static_cast<double>(recipe.train.micro_batch_tokens);
  const double step = micro_batches * Median(gradient_seconds) + Median(update_seconds);
  const auto tokens = static_cast<double>(recipe.train.tokens_per_step);
  const double context = (static_cast<double>(recipe.train.sequence_length) + 1) / 2;
  const double gflops = tokens * trainer.model().cost().TrainingFlopsPerToken(context) / step / 1e9;
  return {{"step_seconds", step},
          {"forward_backward_share", 1 - Median(update_seconds) / step},
          {"tokens_per_second", tokens / step},
          {"gflops", gflops},
          {"share_of_peak", gflops / PeakGflops()},
          {"where_time_goes", WhereTimeGoes(clock, micro_batches / static_cast<double>(rounds),
                                            Median(update_seconds), step)}};
}

CacheForm Form(const BenchOptions& options) {
  return options.cache == "latent" ? CacheForm::kLatent : CacheForm::kExpanded;
}

Json BenchBase(const BenchOptions& options) {
  const PretrainRecipe recipe = ReadPretrainRecipe(options.recipe);
  DecodingBench decoding{Form(options), 1, options.prompt_tokens, options.new_tokens};
  if (decoding.capacity() > recipe.model.max_position_embeddings) {
    FailUsage("bench: --prompt-tokens and --new-tokens exceed max_position_embeddings = {}",
              recipe.model.max_position_embeddings);
  }
  RequireTrainingMemory(recipe.model, recipe.train.micro_batch_tokens);
  Trainer trainer(recipe.model, recipe.optimizer);
  trainer.Initialize(kSeed);
  Json result;
  Note("training");
  result["training"] = BenchTraining(recipe, options.rounds, trainer);
  const PackedWeights packed(trainer.config(), trainer.layout(), trainer.weights());
  Json speeds, shares;
  for (const int64_t batch : options.batches) {
    Note(fmt::format("decoding {} sequences", batch));
    decoding.sequences = batch;
    const DecodingSpeed speed = BenchDecoding(trainer.model(), packed.model(), decoding);
    speeds[std::to_string(batch)] = speed.tokens_per_second;
    if (decoding.form == CacheForm::kExpanded)
      shares[std::to_string(batch)] = speed.share_of_roofline;
  }
  result["decoding_tokens_per_second"] = std::move(speeds);
  if (!shares.empty()) result["decoding_share_of_roofline"] = std::move(shares);
  return result;
}

void Run(const BenchOptions& options) {
  Json result{{"threads", NumThreads()}, {"peak_gflops", PeakGflops()}};
  if (options.model.empty()) {
    result.update(BenchBase(options));
  } else {
    result["reinforcement"] =
        BenchReinforcement(ReadReinforceRecipe(options.recipe), options.model, options.rounds);
  }
  PrintResult(result, options.json);
}

}  // namespace

void RegisterBench(Command app) {
  const auto options = std::make_shared<BenchOptions>();
  Command command = app.AddCommand(
      "bench",
      "Measure training and decoding speed of a recipe's model, or a model's reinforcement");
  options->recipe.Register(command);
  command.Add("--model", options->model,
              "checkpoint directory: measures a step of the recipe's reinforcement learning "
              "on it instead");
  command.Add("--rounds", options->rounds, "training rounds or steps; the median counts")
      .Within(1, 1000);
  command.Add("--batches", options->batches, "sequences decoded at once; several values")
      .Within(1, kMaxBatch);
  command.Add("--prompt-tokens", options->prompt_tokens, "context before decoding")
      .Within(1, INT32_MAX);
  command.Add("--cache", options->cache, "of decoding: expanded (training's bits) or latent")
      .OneOf({"expanded", "latent"});
  command.Add("--new-tokens", options->new_tokens, "tokens decoded in each sequence")
      .Within(8, INT32_MAX);
  AddJsonFlag(command, &options->json);
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
