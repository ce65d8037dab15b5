#include "app/weights_flag.h"

#include <algorithm>

#include "app/output.h"
#include "app/recipe_around.h"
#include "base/error.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_source.h"
#include "train/options.h"

namespace darkhorse {
namespace {

struct NamedFormat {
  const char* name;
  Format format;
};
constexpr NamedFormat kFormats[] = {
    {"f32", Format::kF32}, {"bf16", Format::kBf16}, {"q8", Format::kQ8}, {"q4", Format::kQ4}};

}  // namespace

void WeightsFlag::Register(Command command, const std::string& standard) {
  std::vector<std::string> names = {name};
  for (const NamedFormat& format : kFormats) names.emplace_back(format.name);
  command
      .Add("--weights", name,
           fmt::format("number format of the weights: f32, bf16, q8 or q4, which have 32, 16, 8.25 "
                       "and 4.5 bits; auto: {}",
                       standard))
      .OneOf(names);
}

Format WeightsFlag::Or(Format standard) const {
  for (const NamedFormat& format : kFormats) {
    if (name == format.name) return format.format;
  }
  return standard;
}

std::optional<Format> WeightsFlag::Of(const std::string& model) const {
  if (given()) return Or(Format::kF32);
  if (IsGgufPath(model) || IsAdapterFolder(model) || !IsOwnFolder(model)) return std::nullopt;
  const auto around = FindPrecisionAround(model);
  if (!around || around->format == Format::kF32) return Format::kF32;
  Note(fmt::format("the weights are {}, as {} trained them; --weights f32 takes them as they are",
                   around->precision, around->path));
  return around->format;
}

}  // namespace darkhorse
