// `darkhorse evaluate`: held-out loss of a checkpoint, or its score on a task.
#include "train/evaluate.h"

#include <cmath>

#include "app/app.h"
#include "app/live.h"
#include "app/loaded_model.h"
#include "app/output.h"
#include "base/error.h"
#include "base/file.h"
#include "data/prepare.h"
#include "rl/reinforce.h"

namespace darkhorse {
namespace {

struct EvaluateOptions {
  std::string model;
  std::string data;
  int64_t sequence_length = 512;
  int64_t max_tokens = 1 << 20;
  std::vector<std::string> tasks;
  int64_t problems = 128;
  int64_t samples = 16;
  int64_t completion_tokens = 352;
  int64_t batch = 256;
  SamplingParams sampling;
  uint64_t seed = 0;
  bool json = false;
};

Json EvaluateShard(const EvaluateOptions& options, const LoadedModel& loaded) {
  const std::string path = FileExists(options.data + "/" + kValidationShard)
                               ? options.data + "/" + kValidationShard
                               : options.data;
  const TokenShard shard = TokenShard::Open(path, loaded.tokenizer().hash());
  const EvaluationLoss result =
      EvaluateLoss(loaded.model(), loaded.weights(), shard, options.sequence_length,
                   /*cross_documents=*/false, options.max_tokens);
  return {{"shard", path},
          {"loss", result.loss},
          {"perplexity", std::exp(result.loss)},
          {"tokens", result.tokens}};
}

Json EvaluateOnTasks(const EvaluateOptions& options, const LoadedModel& loaded) {
  Json result = Json::array();
  std::vector<Sample> samples;
  std::vector<Problem> problems;
  for (const TaskEvaluation& evaluation :
       EvaluateTasks(loaded.model(), loaded.weights(), loaded.tokenizer(), options.tasks,
                     options.problems, options.samples, options.completion_tokens, options.sampling,
                     options.batch, options.seed, &samples, &problems)) {
    Note(Describe(evaluation));
    result.push_back(ToJson(evaluation));
  }
  return result;
}

void Run(const EvaluateOptions& options) {
  if (options.data.empty() && options.tasks.empty()) {
    FailUsage("evaluate: give --data, for the loss on its held-out shard, or --task, or both");
  }
  const LoadedModel loaded(options.model);
  Json result{{"model", options.model}};
  if (!options.data.empty()) result.update(EvaluateShard(options, loaded));
  if (!options.tasks.empty()) result["tasks"] = EvaluateOnTasks(options, loaded);
  PrintResult(result, options.json);
}

}  // namespace

void RegisterEvaluate(CLI::App& app) {
  const auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command = app.add_subcommand("evaluate", "Held-out loss or task scores of a model");
  command->add_option("--model", options->model, "checkpoint directory")->required();
  command->add_option("--data", options->data,
                      "a shard, or a folder of `data prepare` (its val.bin)");
  command->add_option("--sequence-length", options->sequence_length, "tokens of a sequence")
      ->check(CLI::PositiveNumber);
  command->add_option("--max-tokens", options->max_tokens, "of the shard, for the loss")
      ->check(CLI::PositiveNumber);
  command->add_option("--task", options->tasks, "name or name:level; may be repeated");
  command->add_option("--problems", options->problems, "held-out problems of each task")
      ->check(CLI::PositiveNumber);
  command->add_option("--samples", options->samples, "completions of each problem")
      ->check(CLI::PositiveNumber);
  command->add_option("--completion-tokens", options->completion_tokens, "longest completion")
      ->check(CLI::PositiveNumber);
  command->add_option("--batch", options->batch, "sequences at once")->check(CLI::PositiveNumber);
  command->add_option("--temperature", options->sampling.temperature,
                      "of the samples; 0: the most probable token");
  command->add_option("--seed", options->seed, "of the samples");
  AddJsonFlag(*command, &options->json);
  command->callback([options] { Run(*options); });
}

}  // namespace darkhorse
