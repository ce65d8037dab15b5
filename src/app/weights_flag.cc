#include "app/weights_flag.h"

#include <fmt/format.h>

#include "app/output.h"
#include "pipeline/run_format.h"

namespace darkhorse {

void WeightsFlag::Register(Command command, const std::string& standard) {
  command
      .Add("--weights", name,
           fmt::format("number format of the weights: f32, bf16, q8 or q4, which have 32, 16, 8.25 "
                       "and 4.5 bits; auto: {}",
                       standard))
      .OneOf(RunFormatNames());
}

Format WeightsFlag::Or(Format standard) const { return ParseRunFormat(name).value_or(standard); }

RunFormat WeightsFlag::Of(const std::string& model) const {
  return given() ? RunFormat(ParseRunFormat(name)) : TrainedFormat(model, "--weights f32", Note);
}

}  // namespace darkhorse
