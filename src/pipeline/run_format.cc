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

std::optional<Format> TrainedFormat(const std::string& model, const std::string& asking,
                                    const std::function<void(const std::string&)>& note) {
  if (IsGgufPath(model) || IsAdapterFolder(model) || !IsOwnFolder(model)) return std::nullopt;
  const auto around = FindPrecisionAround(model);
  if (!around || around->format == Format::kF32) return Format::kF32;
  if (note) {
    note(fmt::format("the weights are {}, as {} trained them; {} takes them as they are",
                     around->precision, around->path, asking));
  }
  return around->format;
}

}  // namespace darkhorse
