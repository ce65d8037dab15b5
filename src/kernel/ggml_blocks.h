// The number formats of ggml's tensors, as GGUF files hold them: a row is cut into blocks, and each
// block holds so many numbers in so many bytes. Decoding here is the definition, number by number
// with the f32 operations of ggml's own dequantisation (ggml/src/ggml-quants.c) in their order, so
// the values are the same bits. Fast products are compared with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace darkhorse {

// Those that are decoded. The values are the files' ids.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2K = 10,
  kQ3K = 11,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kIq4Nl = 20,
  kIq4Xs = 23,
  kBf16 = 30,
};

struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;  // as ggml spells it: "Q4_K"
  int64_t numbers;        // of a block
  int64_t bytes;          // of a block
  // Writes the numbers of `blocks` blocks. Null: the format's sizes are known, not its meaning.
  void (*decode)(const std::byte* in, int64_t blocks, float* out);

  // Of `count` numbers, a multiple of a block's.
  int64_t BytesOf(int64_t count) const { return count / numbers * bytes; }
};

// Null where no tensor of a file can have this id.
const GgmlTypeInfo* FindGgmlType(uint32_t id);
const GgmlTypeInfo& InfoOf(GgmlType type);

// "F32, F16, Q4_0, ...": those that are decoded, for errors.
std::string ReadableGgmlTypes();

// The six-bit scale and minimum of the 32 numbers `group` of a block of Q4_K or Q5_K, from its 12
// bytes of scales.
struct ScaleAndMin {
  uint8_t scale, min;
};
inline ScaleAndMin ScaleAndMinOf(const uint8_t* scales, int group) {
  if (group < 4) {
    return {static_cast<uint8_t>(scales[group] & 63), static_cast<uint8_t>(scales[group + 4] & 63)};
  }
  return {static_cast<uint8_t>((scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4),
          static_cast<uint8_t>(scales[group + 4] >> 4 | (scales[group] >> 6) << 4)};
}

// What the four bits of IQ4_NL and IQ4_XS stand for.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace darkhorse
