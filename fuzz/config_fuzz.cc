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
    const int64_t active = darkhorse::ActiveParameterCount(config);
    CHECK(active > 0 && active <= layout.parameter_count());
    CHECK(darkhorse::EstimateTrainingMemory(config, 4096).total() > 0);
    CHECK(darkhorse::TrainingFlopsPerToken(config, 512) > 0);
  } catch (const darkhorse::Error&) {  // too large
  }
  return 0;
}
