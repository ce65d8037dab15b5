#include "pipeline/run_format.h"

#include <fmt/format.h>

#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_source.h"
#include "pipeline/recipe_around.h"

namespace darkhorse {
namespace {

struct NamedFormat {
  const char* name;
  Format format;
};
constexpr NamedFormat kFormats[] = {
    {"f32", Format::kF32}, {"bf16", Format::kBf16}, {"q8", Format::kQ8}, {"q4", Format::kQ4}};

// Of an adapter: what its run says of its base's weights, and its precision.
RunFormat AdapterFormat(const PrecisionAround& around, const std::string& asking,
                        const std::function<void(const std::string&)>& note) {
  RunFormat format = ParseRunFormat(around.adapter_weights);
  format.adapter = around.format;
  std::string told;
  if (format.weights) told = fmt::format("the base's weights are {}", around.adapter_weights);
  if (format.adapter != Format::kF32)
    told +=
        fmt::format("{}the adapter's products are {}", told.empty() ? "" : ", ", around.precision);
  if (!note || told.empty()) return format;
  told += fmt::format(", as {} trained it", around.path);
  const bool f32 = format.weights == Format::kF32 && format.adapter == Format::kF32;
  note(f32 ? told : fmt::format("{}; {} computes in f32", told, asking));
  return format;
}

}  // namespace

std::vector<std::string> RunFormatNames() {
  std::vector<std::string> names = {"auto"};
  for (const NamedFormat& format : kFormats) names.emplace_back(format.name);
  return names;
}

std::optional<Format> ParseRunFormat(const std::string& name) {
  for (const NamedFormat& format : kFormats) {
    if (name == format.name) return format.format;
  }
  return std::nullopt;
}

RunFormat TrainedFormat(const std::string& model, const std::string& asking,
                        const std::function<void(const std::string&)>& note) {
  if (IsGgufPath(model) || !IsOwnFolder(model)) return {};
  const auto around = FindPrecisionAround(model);
  if (IsAdapterFolder(model)) return around ? AdapterFormat(*around, asking, note) : RunFormat();
  if (!around || around->format == Format::kF32) return Format::kF32;
  if (note) {
    note(fmt::format("the weights are {}, as {} trained them; {} takes them as they are",
                     around->precision, around->path, asking));
  }
  return around->format;
}

}  // namespace darkhorse
