// Any bytes are a config.json or an Error; what is read is written and read back equal, and has a
// layout without overflow or is refused.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "checkpoint/config_json.h"
#include "model/cost.h"
#include "model/params.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  darkhorse::ModelConfig config;
  try {
    config = darkhorse::ParseConfigJson({reinterpret_cast<const char*>(data), size}, "config.json");
  } catch (const darkhorse::Error&) {
    return 0;
  }
  const std::string text = darkhorse::WriteConfigJson(config, "float32");
  CHECK(darkhorse::ParseConfigJson(text, "written") == config);
  try {
    const darkhorse::ParamLayout layout(config);
    int64_t end = 0;
    for (const darkhorse::ParamInfo& param : layout.params()) {
      CHECK(param.size > 0 && param.offset == end);
      end = (param.offset + param.size + 15) / 16 * 16;
    }
    CHECK(end == layout.buffer_size());
    const darkhorse::ModelCost cost(config);
    CHECK(cost.parameters() == layout.parameter_count());
    CHECK(cost.active_parameters() > 0 && cost.active_parameters() <= cost.parameters());
    CHECK(cost.Training(4096).total() > 0);
    CHECK(cost.TrainingFlopsPerToken(512) > 0);
  } catch (const darkhorse::Error&) {  // too large
  }
  return 0;
}
