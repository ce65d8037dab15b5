#include "pipeline/loaded_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/format.h"
#include "base/memory.h"
#include "checkpoint/adapter_folder.h"
#include "infer/model_proposer.h"

namespace darkhorse {
namespace {

WeightStore::Choose Chooser(const ModelSource& source, std::optional<Format> format) {
  return [&source, format](const ParamSpec& param) {
    return format ? *format : WeightStore::AsStored(source, param);
  };
}

// The adapter, where its products stay apart from its base's.
const AdapterSource* AdapterApart(const ModelSource& source) {
  return source.config().latent_attention() ? nullptr : source.adapter();
}

// Where the weights come from that AdaptedWeights or nothing is added to.
const ModelSource& BaseOf(const ModelSource& source) {
  const AdapterSource* adapter = AdapterApart(source);
  return adapter ? adapter->base() : source;
}

// Of several adapters none may have magnitudes (kernel/weight.h).
void RefuseMagnitudes(const AdapterPairs& pairs, const std::string& folder) {
  if (!pairs.files.dora) return;
  Fail(
      "{}: is an adapter with DoRA's magnitudes, which is not loaded beside its base or others; "
      "load it by its own folder, or train one without (adapter.dora = false)",
      folder);
}

// Multi-token-prediction modules are for training, but for the first, which may guess.
ModelConfig MainModel(ModelConfig config, bool module = false) {
  config.num_nextn_predict_layers = std::min<int64_t>(config.num_nextn_predict_layers, module);
  return config;
}

// Of an adapter's numbers, as they are read and as its products take them.
double BytesOf(const ParamLayout& layout, Format format) {
  return static_cast<double>(layout.buffer_size()) * sizeof(float) +
         static_cast<double>(AdaptedWeights::Bytes(layout, format));
}

// The cure that helps: of the weights where they are too much by themselves, else of the cache.
std::string Cure(const ModelSource& source, const RunningMemory& memory, const CacheNeed& need) {
  const auto held = static_cast<double>(PhysicalMemoryBytes());
  const double left = held - memory.weights - memory.rotations - memory.adapters - need.beside;
  if (left > 0 && memory.cache > 0) {
    const double tokens =
        need.in_all > 0 ? static_cast<double>(need.in_all)
                        : static_cast<double>(need.sequences) * static_cast<double>(need.tokens);
    return fmt::format("{}: there is room for {:.0f} tokens in all", need.smaller_cache,
                       std::floor(left / memory.cache * tokens));
  }
  const double least = MemoryToRun(source, Format::kQ4, need).weights;
  if (least < std::min(memory.weights, held))
    return fmt::format("{} makes the weights {}", need.smaller_weights, FormatBytes(least));
  return "choose a smaller model";
}

const ModelConfig& Fitting(const OpenedModel& opened, const RunFormat& format,
                           const CacheNeed& need, const std::vector<std::string>& adapters) {
  const RunningMemory memory = MemoryToRun(opened.source(), format, need, adapters);
  const double total = memory.total() + need.beside;
  if (total <= static_cast<double>(PhysicalMemoryBytes())) return opened.config();
  std::string what = fmt::format("{}: the model, with weights of {}", opened.path(),
                                 FormatBytes(memory.weights + memory.rotations));
  if (memory.cache > 0)
    what += fmt::format(" and a cache of {} for {} tokens", FormatBytes(memory.cache),
                        need.in_all > 0 ? fmt::to_string(need.in_all)
                                        : fmt::format("{} x {}", need.sequences, need.tokens));
  if (memory.adapters > 0) what += fmt::format(" and adapters of {}", FormatBytes(memory.adapters));
  if (need.beside > 0) what += fmt::format(" and {} beside it", FormatBytes(need.beside));
  RequireMemory(total, what + ",", Cure(opened.source(), memory, need));
  return opened.config();
}

}  // namespace

RunningMemory MemoryToRun(const ModelSource& opened, const RunFormat& format, const CacheNeed& need,
                          const std::vector<std::string>& adapters) {
  const ModelSource& source = BaseOf(opened);
  const ModelConfig config = MainModel(source.config(), need.module);
  const WeightStore::Choose choose = Chooser(source, format.weights);
  RunningMemory memory;
  memory.weights = static_cast<double>(WeightStore::Bytes(config, source, choose));
  memory.rotations = RopeCache::Bytes(config, need.tokens);
  const Format format_of_cache = WeightStore::AttentionFormat(config, source, choose);
  memory.cache =
      KvCache::Bytes(config, need.form, need.sequences, need.tokens, format_of_cache, need.in_all);
  if (config.num_nextn_predict_layers > 0) {
    memory.cache +=
        MtpProposer::Bytes(config, need.form, need.sequences, need.tokens, format_of_cache);
  }
  if (config.latent_attention()) return memory;           // an adapter is part of its weights
  if (const AdapterSource* own = AdapterApart(opened)) {  // which its source keeps, too
    memory.adapters += BytesOf(own->layout(), format.adapter) +
                       static_cast<double>(own->layout().buffer_size()) * sizeof(float);
  }
  for (const std::string& folder : adapters)
    memory.adapters += BytesOf(ReadAdapterLayout(folder, source), format.adapter);
  return memory;
}

OpenedModel::OpenedModel(const std::string& path)
    : source_(OpenModel(path)),
      tokenizer_(source_->ReadTokenizer()),
      chat_format_(source_->ReadChatFormat()),
      config_(source_->TextConfig(tokenizer_)),
      silent_(tokenizer_.SilentIds(config_.vocab_size)) {}

LoadedModel::LoadedModel(OpenedModel opened, const RunFormat& format, const CacheNeed& need,
                         const std::vector<std::string>& adapters)
    : OpenedModel(std::move(opened)),
      model_(Fitting(*this, format, need, adapters)),
      weights_(MainModel(config(), need.module), BaseOf(source()),
               Chooser(BaseOf(source()), format.weights)) {
  const AdapterSource* own = AdapterApart(source());
  if (!own && adapters.empty()) return;
  if (config().latent_attention()) {
    Fail("{}: has latent attention, beside which adapters cannot be loaded; load {} by itself",
         path(), adapters.front());
  }
  const ModelSource& base = BaseOf(source());
  // The first is what requests take that ask for none: the one that was opened, or nothing.
  if (own) pairs_.push_back(own->pairs());
  if (own && !adapters.empty()) RefuseMagnitudes(own->pairs(), path());
  for (const std::string& folder : adapters) {
    pairs_.push_back(ReadAdapter(folder, base));
    RefuseMagnitudes(pairs_.back(), folder);
    adapters_.push_back({folder, AdapterChatFormat(folder, base)});
  }
  std::vector<AdapterValues> values(own ? 0 : 1);
  for (AdapterPairs& pairs : pairs_)
    values.push_back({&pairs.layout, pairs.files.scale(), pairs.values.data()});
  adapted_.emplace(MainModel(config()), weights_.model(), values, format.adapter);
}

std::vector<int32_t> OpenedModel::PromptTokens(std::string_view text, bool special) const {
  std::vector<int32_t> tokens =
      tokenizer_.EncodeDocument(DocumentStartToken(config()), text, special);
  const auto eos = static_cast<int32_t>(config().eos_token_id);
  if (tokens.empty() && eos < 0) {
    FailUsage(
        "the prompt is empty, and this model knows no token that begins a document; give one");
  }
  if (tokens.empty()) tokens.push_back(eos);  // documents follow each other
  return tokens;
}

Conversation OpenedModel::Talk(const Conversation::Options& options) const {
  return {tokenizer_, chat_format_, DocumentStartToken(config()), path(), options};
}

}  // namespace darkhorse
