// `darkhorse info`: the machine, a checkpoint, or a recipe's model.
#include <filesystem>
#include <fstream>

#include "app/app.h"
#include "app/flags.h"
#include "app/info_model.h"
#include "app/output.h"
#include "app/recipes.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "kernel/kernels.h"
#include "kernel/peak.h"
#include "model/config_fields.h"
#include "model/cost.h"
#include "train/recipe.h"

namespace darkhorse {
namespace {

struct InfoOptions {
  RecipeArguments recipe;
  std::string model;
  int64_t context = 0;
  int64_t micro_batch_tokens = 0;
  bool json = false;
};

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

Json DescribeMachine() {
  std::string isas;
  for (const KernelRow* row : SupportedKernels()) {
    isas += (isas.empty() ? "" : " ") + std::string(row->name);
  }
  Note("measuring the peak and the memory bandwidth");
  return {{"cpu", CpuName()},
          {"cores", AvailableCores()},
          {"threads", NumThreads()},
          {"isa", Kernels().name},
          {"supported_isas", isas},
          {"peak_gflops_one_thread", MeasurePeakGflops(1)},
          {"peak_gflops", MeasurePeakGflops(NumThreads())},
          {"peak_bf16_gflops_one_thread", MeasurePeakGflops(1, Format::kBf16)},
          {"peak_bf16_gflops", MeasurePeakGflops(NumThreads(), Format::kBf16)},
          {"peak_q8_gops_one_thread", MeasurePeakGflops(1, Format::kQ8)},
          {"peak_q8_gops", MeasurePeakGflops(NumThreads(), Format::kQ8)},
          {"peak_q4_gops_one_thread", MeasurePeakGflops(1, Format::kQ4)},
          {"peak_q4_gops", MeasurePeakGflops(NumThreads(), Format::kQ4)},
          {"bandwidth_gb_s_one_thread", MeasureBandwidthGBs(1)},
          {"bandwidth_gb_s", MeasureBandwidthGBs(NumThreads())},
          {"memory_bytes", PhysicalMemoryBytes()}};
}

Json DescribeModel(const ModelConfig& config, int64_t context, int64_t micro_batch_tokens) {
  const ModelCost cost(config);
  const double mean_context = (static_cast<double>(context) + 1) / 2;
  ModelConfig listed = config;
  Json json = FieldsToJson(FieldsOf(listed));
  if (config.rope_scaling.type.empty()) json.erase("rope_scaling");
  json.update(Json{
      {"moe_layers", std::max<int64_t>(0, config.num_hidden_layers - config.first_k_dense_replace)},
      {"parameters", cost.parameters()},
      {"active_parameters", cost.active_parameters()},
      {"context", context},
      {"forward_flops_per_token", cost.ForwardFlopsPerToken(mean_context)},
      {"training_flops_per_token", cost.TrainingFlopsPerToken(mean_context)},
      {"training_memory_bytes", DescribeTrainingMemory(config, micro_batch_tokens)},
      {"latent_cache_bytes_per_token", cost.CacheBytesPerToken(CacheForm::kLatent)},
      {"expanded_cache_bytes_per_token", cost.CacheBytesPerToken(CacheForm::kExpanded)}});
  return json;
}

// What the user gave, else the recipe's or the model's own.
int64_t Either(int64_t given, int64_t own) { return given > 0 ? given : own; }

Json Describe(const InfoOptions& options) {
  if (IsModelPath(options.recipe.recipe)) {
    if (!options.model.empty())
      FailUsage("info: {} and --model are two models", options.recipe.recipe);
    if (!options.recipe.overrides.empty()) FailUsage("info: --set changes a recipe; give one");
    return DescribeModelFiles(options.recipe.recipe, options.context, options.micro_batch_tokens);
  }
  if (!options.recipe.recipe.empty()) {
    if (!options.model.empty()) FailUsage("info: give a recipe or --model, not both");
    const PretrainRecipe recipe = ReadPretrainRecipe(options.recipe);
    return DescribeModel(recipe.model, Either(options.context, recipe.train.sequence_length),
                         Either(options.micro_batch_tokens, recipe.train.micro_batch_tokens));
  }
  if (!options.recipe.overrides.empty()) FailUsage("info: --set changes a recipe; give one");
  if (options.model.empty()) return DescribeMachine();
  if (std::filesystem::is_regular_file(options.model))
    return DescribeModelFiles(options.model, options.context, options.micro_batch_tokens);
  const ModelConfig config = LoadModelConfig(options.model);
  return DescribeModel(
      config, Either(options.context, config.max_position_embeddings),
      Either(options.micro_batch_tokens, PretrainRecipe().train.micro_batch_tokens));
}

void Run(const InfoOptions& options) { PrintResult(Describe(options), options.json); }

}  // namespace

void RegisterInfo(Command app) {
  const auto options = std::make_shared<InfoOptions>();
  Command command =
      app.AddCommand("info", "Describe this machine, a model's files, or the model of a recipe");
  options->recipe.Register(command, TakesPretraining, "model.hidden_size=512", /*required=*/false);
  command.Add(
      "--model", options->model,
      "checkpoint directory, described as a recipe's model is; neither this nor a recipe: the "
      "machine");
  command
      .Add("--context", options->context,
           "tokens of a document, for FLOPs per token and the cache of a model's files; 0: the "
           "recipe's sequences, or the model's longest; of files as chat keeps it")
      .Within(0, INT32_MAX);
  command
      .Add("--micro-batch-tokens", options->micro_batch_tokens,
           "tokens computed at once in training, for its memory; 0: the recipe's; of a model's "
           "files none is told")
      .Within(0, int64_t{1} << 20);
  AddJsonFlag(command, &options->json);
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
