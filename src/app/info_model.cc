#include "app/info_model.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_source.h"
#include "kernel/linear.h"
#include "kernel/peak.h"
#include "model/adapter.h"
#include "model/cost.h"
#include "model/rope.h"
#include "model/weight_store.h"
#include "pipeline/loaded_model.h"
#include "train/moments.h"

namespace darkhorse {
namespace {

// What whole passes reach of the two limits (bench/RESULTS.md): decoding of the memory's bandwidth,
// prefilling of the arithmetic peak. The rest goes to unpacking, scales, norms and attention.
constexpr double kOfBandwidth = 0.75;
constexpr double kOfPeak = 0.45;

int64_t Whole(double bytes) { return static_cast<int64_t>(bytes); }

}  // namespace

Json DescribeTrainingMemory(const ModelConfig& config, int64_t micro_batch_tokens) {
  const ModelCost cost(config);
  const TrainingMemory memory = cost.Training(micro_batch_tokens);
  const TrainingMemory least = cost.Training(micro_batch_tokens, Format::kF32,
                                             Activations::kRecomputed, /*moments=*/Format::kBf16);
  const int64_t rotations = Whole(RopeCache::Bytes(config, micro_batch_tokens));
  return {{"micro_batch_tokens", micro_batch_tokens},
          {"weights", memory.weights},
          {"gradients", memory.gradients},
          {"moments", memory.moments},
          {"moments_bf16", least.moments},
          {"activations", memory.activations},
          {"activations_recomputed", least.activations},
          {"rotations", rotations},
          {"total", memory.total() + rotations},
          {"total_least", least.total() + rotations}};
}

namespace {

// What training an adapter of the standard rank takes beside the weights as their files hold them.
Json DescribeAdapterMemory(const ModelConfig& config, int64_t weights, int64_t micro_batch_tokens) {
  const ParamLayout adapter = AdapterLayout(config, {});
  const ModelCost cost(config);
  const int64_t state = 2 * adapter.buffer_size() * int64_t{sizeof(float)} +
                        Moments::Bytes(adapter.buffer_size(), Format::kF32) +
                        AdaptedWeights::Bytes(adapter, Format::kF32);
  const int64_t activations =
      cost.Training(micro_batch_tokens, Format::kF32, Activations::kRecomputed).activations;
  return {{"rank", AdapterOptions().rank},
          {"parameters", adapter.parameter_count()},
          {"weights", weights},
          {"adapter", state},
          {"activations_recomputed", activations},
          {"total", weights + state + activations}};
}

// Of products with so many numbers in each format, which take the sum of their times.
double PeakOf(const std::map<Format, double>& numbers, int threads) {
  std::map<int, double> peak_of_bits;
  double all = 0, time = 0;
  for (const auto& [format, count] : numbers) {
    double& peak = peak_of_bits[MultipliedBits(format)];
    if (peak == 0) peak = MeasurePeakGflops(threads, format);
    all += count;
    time += count / peak;
  }
  return all / time;
}

}  // namespace

Json DescribeModelFiles(const std::string& path, int64_t context, int64_t micro_batch_tokens) {
  const auto source = OpenModel(path);
  const AdapterSource* adapter = source->adapter();
  const ModelSource& base = adapter ? adapter->base() : *source;
  ModelConfig config = source->config();
  config.num_nextn_predict_layers = 0;
  const ModelCost cost(config);
  const ParamLayout layout(config);
  std::map<std::string, int64_t> bytes_of;
  int64_t bytes = 0;
  double read = 0;                   // bytes of the products of one token
  std::map<Format, double> numbers;  // of integers in products, by format
  bool integers = true;
  const double visited = config.n_routed_experts > 0
                             ? static_cast<double>(config.num_experts_per_tok) /
                                   static_cast<double>(config.n_routed_experts)
                             : 1.0;
  for (const ParamInfo& param : layout.params()) {
    const StoredRows rows = base.Rows(param);
    const std::string type = rows.type ? std::string(rows.type->name) : "other";
    const int64_t stored = rows.type ? rows.type->BytesOf(param.size) : 4 * param.size;
    bytes_of[type] += stored;
    bytes += stored;
    const bool head = param.kind == ParamKind::kEmbedding && config.tie_word_embeddings;
    if (param.shape.size() == 1 || (param.kind == ParamKind::kEmbedding && !head)) continue;
    const Format format = WeightStore::AsStored(base, param);
    integers &= IsInteger(format) || param.kind == ParamKind::kRouter;
    if (IsInteger(format) && param.kind != ParamKind::kEmbedding)
      numbers[format] += (param.expert >= 0 ? visited : 1.0) * static_cast<double>(param.size);
    read += (param.expert >= 0 ? visited : 1.0) *
            static_cast<double>(ForwardBytes(format, param.shape[0], param.shape[1]));
  }
  Json shares;
  for (const auto& [type, stored] : bytes_of)
    shares[type] = static_cast<double>(stored) / static_cast<double>(bytes);

  if (context == 0) context = std::min(kStandardContext, config.max_position_embeddings);
  const RunningMemory memory = MemoryToRun(
      *source, RunFormat(), {.form = CacheForm::kLatent, .sequences = 1, .tokens = context});
  Json memory_bytes{{"weights", Whole(memory.weights)},
                    {"cache", Whole(memory.cache)},
                    {"rotations", Whole(memory.rotations)}};
  if (memory.adapters > 0) memory_bytes["adapters"] = Whole(memory.adapters);
  memory_bytes["total"] = Whole(memory.total());
  const int threads = NumThreads();
  const double peak =
      integers ? PeakOf(numbers, threads) : MeasurePeakGflops(threads, Format::kF32);
  const double bandwidth = MeasureBandwidthGBs(threads);
  const double flops = cost.ForwardFlopsPerToken(256) - cost.HeadFlopsPerToken();
  Json result{{"path", path},
              {"architecture", config.model_type},
              {"parameters", cost.parameters()},
              {"active_parameters", cost.active_parameters()},
              {"layers", config.num_hidden_layers},
              {"max_position_embeddings", config.max_position_embeddings},
              {"file_bytes", source->file_bytes()},
              {"formats", std::move(shares)},
              {"context", context},
              {"memory_bytes", std::move(memory_bytes)},
              {"fits", memory.total() <= static_cast<double>(PhysicalMemoryBytes())},
              {"expected_prefill_tokens_per_second", kOfPeak * peak * 1e9 / flops},
              {"expected_decoding_tokens_per_second", kOfBandwidth * bandwidth * 1e9 / read}};
  if (adapter) {
    result["adapter"] = {{"base", base.path()},
                         {"rank", adapter->files().rank},
                         {"dora", adapter->files().dora},
                         {"scale", adapter->files().scale()},
                         {"parameters", adapter->layout().parameter_count()}};
  }
  if (micro_batch_tokens > 0) {
    result["training_memory_bytes"] = DescribeTrainingMemory(source->config(), micro_batch_tokens);
    result["adapter_training_memory_bytes"] =
        DescribeAdapterMemory(config, Whole(memory.weights), micro_batch_tokens);
  }
  if (bytes_of.contains("F16")) {
    Note(
        "the 11 bits of F16 are rounded to the 8 of bf16; --weights f32 keeps them all, in twice "
        "the memory");
  }
  return result;
}

}  // namespace darkhorse
