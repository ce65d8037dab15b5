// Any bytes are a GGUF file or an Error; what is read can be decoded and asked for from end to end.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "checkpoint/gguf.h"

namespace darkhorse {
namespace {

template <typename Ask>
void Ignoring(const Ask& ask) {
  try {
    ask();
  } catch (const Error&) {  // of another type
  }
}

void AskAll(const GgufKeys& keys) {
  for (const auto& [key, value] : keys.values()) {
    Ignoring([&] { keys.Int(key, INT64_MIN, INT64_MAX); });
    Ignoring([&] { keys.Number(key); });
    Ignoring([&] { keys.FindBool(key); });
    Ignoring([&] { keys.String(key); });
    Ignoring([&] { CHECK(keys.Ints(key, INT64_MIN, INT64_MAX).size() == value.count); });
    Ignoring([&] { CHECK(keys.Strings(key).size() == value.count); });
    Ignoring([&] { CHECK(keys.FindArrays(key)->size() == value.count); });
  }
}

void ReadWhole(std::span<const std::byte> bytes) {
  const GgufContents contents = ParseGguf(bytes, "f");
  AskAll(contents.keys);
  for (const GgufTensor& tensor : contents.tensors) {
    const int64_t blocks = tensor.rows() * tensor.cols() / tensor.type->numbers;
    CHECK(static_cast<int64_t>(tensor.bytes.size()) == blocks * tensor.type->bytes);
    if (!tensor.type->decode) continue;
    std::vector<float> numbers(static_cast<size_t>(tensor.rows() * tensor.cols()));
    tensor.type->decode(tensor.bytes.data(), blocks, numbers.data());
  }
}

}  // namespace
}  // namespace darkhorse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  darkhorse::Ignoring([&] { darkhorse::ReadWhole(bytes); });
  darkhorse::Ignoring([&] { darkhorse::ParseGguf(bytes, "f", darkhorse::GgufExtent::kHead); });
  return 0;
}
