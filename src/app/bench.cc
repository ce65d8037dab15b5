// `darkhorse bench`: how fast a recipe's model trains and decodes here, beside what the machine can
// do. Weights and tokens are random: speed does not depend on them, but for the balance of experts.
// Given a checkpoint, how fast it is reinforced, which depends on what it says. Where a model is
// named in place of a recipe, how fast that loads and runs. `bench serve` is in bench_serve.cc.
#include <algorithm>
#include <iterator>
#include <optional>

#include "app/app.h"
#include "app/bench_model.h"
#include "app/bench_sampling.h"
#include "app/bench_serve.h"
#include "app/bench_training.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "app/recipes.h"
#include "app/speculate_flag.h"
#include "app/weights_flag.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "checkpoint/model_source.h"
#include "model/cost.h"
#include "model/kv_cache.h"
#include "model/packed_weights.h"
#include "train/recipe.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kMaxPromptBytes = 64 << 20;
constexpr int64_t kRecipeBatches[] = {1, 32, 128};

struct BenchOptions {
  RecipeArguments recipe;
  ProblemFlags problems;
  std::string model;
  int64_t rounds = 3;
  std::vector<int64_t> batches;          // none: what kRecipeBatches or ModelBench has
  std::optional<int64_t> prompt_tokens;  // likewise
  int64_t new_tokens = 64;
  std::string prompt_file;
  SpeculateFlag speculate;
  CacheFlag cache;
  WeightsFlag weights;
  bool json = false;
};

Json BenchBase(const BenchOptions& options) {
  const PretrainRecipe recipe = ReadPretrainRecipe(options.recipe);
  DecodingBench decoding{.form = options.cache.form(),
                         .weights = options.weights.Or(FormatOf(recipe.train.precision)),
                         .new_tokens = options.new_tokens};
  decoding.prompt_tokens = options.prompt_tokens.value_or(decoding.prompt_tokens);
  if (decoding.capacity() > recipe.model.max_position_embeddings) {
    FailUsage("bench: --prompt-tokens and --new-tokens exceed max_position_embeddings = {}",
              recipe.model.max_position_embeddings);
  }
  RequireTrainingMemory(recipe.model, {.micro_batch_tokens = recipe.train.micro_batch_tokens,
                                       .format = FormatOf(recipe.train.precision),
                                       .moments = FormatOf(recipe.optimizer.moments)});
  std::vector<int64_t> batches = options.batches;
  if (batches.empty()) batches.assign(std::begin(kRecipeBatches), std::end(kRecipeBatches));
  for (const int64_t batch : batches) {
    RequireMemory(KvCache::Bytes(recipe.model, decoding.form, batch, decoding.capacity(),
                                 decoding.weights == Format::kBf16 ? Format::kBf16 : Format::kF32),
                  fmt::format("the cache of {} of {}", Counted(batch, "sequence"),
                              Counted(decoding.capacity(), "token")),
                  "lower --batches or --prompt-tokens");
  }
  TrainedModel trained(recipe.model, recipe.optimizer, FormatOf(recipe.train.precision));
  trained.Initialize(kSeed);
  Json result;
  Note("training");
  result["training"] = BenchTraining(recipe, options.rounds, trained);
  const PackedWeights packed(trained.config(), trained.layout(), trained.mutable_weights(),
                             decoding.weights);
  Json speeds, shares;
  for (const int64_t batch : batches) {
    Note("decoding " + Counted(batch, "sequence"));
    decoding.sequences = batch;
    const DecodingSpeed speed = BenchDecoding(trained.model(), packed.model(), decoding);
    speeds[std::to_string(batch)] = speed.tokens_per_second;
    if (decoding.form == CacheForm::kExpanded)
      shares[std::to_string(batch)] = speed.share_of_roofline;
  }
  result["decoding_weight_bytes"] = packed.bytes();
  result["decoding_tokens_per_second"] = std::move(speeds);
  if (!shares.empty()) result["decoding_share_of_roofline"] = std::move(shares);
  return result;
}

Json BenchModel(const BenchOptions& options) {
  const std::string& path = options.recipe.recipe;
  if (!options.model.empty())
    FailUsage("{} is a model; --model is for a recipe of `darkhorse reinforce`", path);
  if (!options.recipe.overrides.empty())
    FailUsage("--set changes a recipe, and {} is a model", path);
  if (!options.problems.file.empty())
    FailUsage("--problems are of a recipe of `darkhorse reinforce`, and {} is a model", path);
  ModelBench bench{.weights = options.weights.Of(path),
                   .form = options.cache.form(),
                   .new_tokens = options.new_tokens,
                   .rounds = options.rounds,
                   .speculate = options.speculate};
  if (!options.prompt_file.empty())
    bench.text = ReadFileOrPipe(options.prompt_file, kMaxPromptBytes);
  if (!options.batches.empty()) bench.batches = options.batches;
  bench.prompt_tokens = options.prompt_tokens.value_or(bench.prompt_tokens);
  return BenchModel(path, bench);
}

void Run(const BenchOptions& options) {
  if (options.recipe.recipe.empty()) FailUsage("bench: name a recipe or a model to measure");
  if (IsModelPath(options.recipe.recipe)) return PrintResult(BenchModel(options), options.json);
  if (!options.prompt_file.empty())
    FailUsage("--prompt-file is continued by a model, and {} is none", options.recipe.recipe);
  if (!options.model.empty() && options.weights.given()) {
    FailUsage(
        "--weights is of decoding with a recipe's model; with --model the recipe's rl.precision "
        "chooses, as in --set rl.precision=bf16");
  }
  Json result{{"threads", NumThreads()},
              {"peak_gflops", PeakGflops()},
              {"peak_bf16_gflops", PeakGflops(Format::kBf16)}};
  if (options.model.empty()) {
    if (const RecipeContents c =
            ContentsOf(ReadRecipe(options.recipe.recipe), options.recipe.recipe);
        c.reinforcement && !c.pretraining) {
      FailUsage(
          "{} is a recipe of `darkhorse reinforce` and holds no model to measure; name a "
          "checkpoint "
          "with --model, or a recipe of `darkhorse pretrain` or `darkhorse run`",
          options.recipe.recipe);
    }
    result.update(BenchBase(options));
  } else {
    const ReinforceRecipe recipe = ReadReinforceRecipe(
        options.recipe, [&](ProblemsOptions* problems) { options.problems.Apply(problems); });
    result["reinforcement"] = BenchReinforcement(recipe, options.model, options.rounds);
  }
  PrintResult(result, options.json);
}

}  // namespace

void RegisterBench(Command app) {
  const auto options = std::make_shared<BenchOptions>();
  Command command = app.AddCommand("bench",
                                   "Measure training and decoding speed of a recipe's model, a "
                                   "model's reinforcement, or how fast "
                                   "a model loads and runs");
  options->recipe.Register(
      command, [](const RecipeContents& c) { return TakesPretraining(c) || TakesReinforcement(c); },
      "model.hidden_size=512", /*required=*/false);
  command.Add(
      "--model", options->model,
      fmt::format("{}: measures a step of the recipe's reinforcement learning on it instead",
                  kModelFiles));
  options->problems.Register(command);
  command
      .Add("--rounds", options->rounds, "rounds of training, steps, or prompts; the median counts")
      .Within(1, 1000);
  command
      .Add("--batches", options->batches,
           "sequences decoded at once; several values; standard: 1, 32 and 128 of a recipe's "
           "model, 1 "
           "of a model")
      .Within(1, kMaxBatch);
  command
      .Add("--prompt-tokens", options->prompt_tokens,
           "context before decoding; standard: 64 of a recipe's model, 512 of a model")
      .Within(1, INT32_MAX);
  command.Add("--prompt-file", options->prompt_file,
              "of a model: a text that one sequence continues greedily, without guesses and with "
              "those of --speculate");
  options->speculate.Register(command);
  options->cache.Register(command, "of decoding: expanded (training's bits) or latent");
  options->weights.Register(command,
                            "the recipe's train.precision; of a model, as its files hold "
                            "them");
  command.Add("--new-tokens", options->new_tokens, "tokens decoded in each sequence")
      .Within(8, INT32_MAX);
  AddJsonFlag(command, &options->json);
  command.Runs([options] { Run(*options); });
  RegisterBenchServe(command);
}

}  // namespace darkhorse
