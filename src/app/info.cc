// `darkhorse info`: the machine, or a checkpoint.
#include <unistd.h>

#include <fstream>

#include "app/app.h"
#include "app/output.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "kernel/kernels.h"
#include "kernel/peak.h"
#include "model/cost.h"
#include "model/params.h"

namespace darkhorse {
namespace {

struct InfoOptions {
  std::string model;
  int64_t context = 0;
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
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::string isas;
  for (const KernelTable* table : SupportedKernels()) {
    isas += (isas.empty() ? "" : " ") + std::string(table->name);
  }
  Note("measuring the peak and the memory bandwidth");
  return {{"cpu", CpuName()},
          {"threads", NumThreads()},
          {"isa", Kernels().name},
          {"supported_isas", isas},
          {"peak_gflops_one_thread", MeasurePeakGflops(1)},
          {"peak_gflops", MeasurePeakGflops(NumThreads())},
          {"bandwidth_gb_s_one_thread", MeasureBandwidthGBs(1)},
          {"bandwidth_gb_s", MeasureBandwidthGBs(NumThreads())},
          {"memory_bytes", static_cast<int64_t>(memory)}};
}

Json DescribeModel(const std::string& directory, int64_t context) {
  const ModelConfig config = LoadModelConfig(directory);
  if (context == 0) context = config.max_position_embeddings;
  const ParamLayout layout(config);
  const auto weight_bytes = layout.buffer_size() * static_cast<int64_t>(sizeof(float));
  const double mean_context = (static_cast<double>(context) + 1) / 2;
  return {
      {"model_type", config.model_type},
      {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.num_hidden_layers},
      {"moe_layers", std::max<int64_t>(0, config.num_hidden_layers - config.first_k_dense_replace)},
      {"num_attention_heads", config.num_attention_heads},
      {"kv_lora_rank", config.kv_lora_rank},
      {"n_routed_experts", config.n_routed_experts},
      {"num_experts_per_tok", config.num_experts_per_tok},
      {"n_shared_experts", config.n_shared_experts},
      {"num_nextn_predict_layers", config.num_nextn_predict_layers},
      {"vocab_size", config.vocab_size},
      {"max_position_embeddings", config.max_position_embeddings},
      {"parameters", layout.parameter_count()},
      {"active_parameters", ActiveParameterCount(config)},
      {"context", context},
      {"forward_flops_per_token", ForwardFlopsPerToken(config, mean_context, false)},
      {"training_flops_per_token", TrainingFlopsPerToken(config, mean_context)},
      {"weight_bytes", weight_bytes},
      {"training_state_bytes", 4 * weight_bytes},  // weights, gradients, two moments
      {"latent_cache_bytes_per_token", LatentCacheBytesPerToken(config)},
      {"expanded_cache_bytes_per_token", ExpandedCacheBytesPerToken(config)}};
}

void Run(const InfoOptions& options) {
  PrintResult(
      options.model.empty() ? DescribeMachine() : DescribeModel(options.model, options.context),
      options.json);
}

}  // namespace

void RegisterInfo(CLI::App& app) {
  const auto options = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand("info", "Describe this machine, or a checkpoint");
  command->add_option("--model", options->model, "checkpoint directory; none: the machine");
  command
      ->add_option("--context", options->context,
                   "tokens of a document, for FLOPs per token; 0: the model's longest")
      ->check(CLI::NonNegativeNumber);
  AddJsonFlag(*command, &options->json);
  command->callback([options] { Run(*options); });
}

}  // namespace darkhorse
