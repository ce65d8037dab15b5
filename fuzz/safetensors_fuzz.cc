// Any bytes are a safetensors file or an Error. The first byte chooses file or shard index.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    if (size > 0 && data[0] == '{') {
      darkhorse::ParseShardIndex({reinterpret_cast<const char*>(data), size}, "index");
      return 0;
    }
    for (const darkhorse::TensorView& tensor : darkhorse::ParseSafetensors(bytes, "f").tensors) {
      std::vector<float> values(static_cast<size_t>(tensor.size()));
      darkhorse::ReadFloats(tensor, "f", values);
    }
  } catch (const darkhorse::Error&) {
  }
  return 0;
}
