// Any bytes are a config.json or an Error; what is read is written and read back equal.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "checkpoint/config_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  darkhorse::ModelConfig config;
  try {
    config = darkhorse::ParseConfigJson({reinterpret_cast<const char*>(data), size}, "config.json");
  } catch (const darkhorse::Error&) {
    return 0;
  }
  const std::string text = darkhorse::WriteConfigJson(config, "float32");
  CHECK(darkhorse::ParseConfigJson(text, "written") == config);
  return 0;
}
