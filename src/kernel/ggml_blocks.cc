#include "kernel/ggml_blocks.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernel/bf16.h"
#include "kernel/f16.h"

namespace darkhorse {
namespace {

uint16_t U16(const uint8_t* in) {
  uint16_t bits;
  std::memcpy(&bits, in, sizeof(bits));
  return bits;
}
uint32_t U32(const uint8_t* in) {
  uint32_t bits;
  std::memcpy(&bits, in, sizeof(bits));
  return bits;
}
float F16At(const uint8_t* in) { return ToFloat(F16{U16(in)}); }

int Low(uint8_t byte) { return byte & 15; }
int High(uint8_t byte) { return byte >> 4; }

void DecodeF32(const uint8_t* in, float* out) { std::memcpy(out, in, sizeof(*out)); }
void DecodeF16(const uint8_t* in, float* out) { *out = F16At(in); }
void DecodeBf16(const uint8_t* in, float* out) { *out = ToFloat(Bf16{U16(in)}); }

// Blocks of 32: the low halves of 16 bytes are the first 16 numbers, the high halves the rest.
constexpr int kHalf = 16;

void DecodeQ4_0(const uint8_t* in, float* out) {
  const float d = F16At(in);
  for (int i = 0; i < kHalf; ++i) {
    out[i] = static_cast<float>(Low(in[2 + i]) - 8) * d;
    out[i + kHalf] = static_cast<float>(High(in[2 + i]) - 8) * d;
  }
}

void DecodeQ4_1(const uint8_t* in, float* out) {
  const float d = F16At(in), m = F16At(in + 2);
  for (int i = 0; i < kHalf; ++i) {
    out[i] = static_cast<float>(Low(in[4 + i])) * d + m;
    out[i + kHalf] = static_cast<float>(High(in[4 + i])) * d + m;
  }
}

// The fifth bits are bits 0 … 31 of a word, in the order of the numbers.
int FifthBit(uint32_t bits, int i) { return static_cast<int>(bits >> i & 1) << 4; }

void DecodeQ5_0(const uint8_t* in, float* out) {
  const float d = F16At(in);
  const uint32_t fifth = U32(in + 2);
  for (int i = 0; i < kHalf; ++i) {
    out[i] = static_cast<float>((Low(in[6 + i]) | FifthBit(fifth, i)) - 16) * d;
    out[i + kHalf] = static_cast<float>((High(in[6 + i]) | FifthBit(fifth, i + kHalf)) - 16) * d;
  }
}

void DecodeQ5_1(const uint8_t* in, float* out) {
  const float d = F16At(in), m = F16At(in + 2);
  const uint32_t fifth = U32(in + 4);
  for (int i = 0; i < kHalf; ++i) {
    out[i] = static_cast<float>(Low(in[8 + i]) | FifthBit(fifth, i)) * d + m;
    out[i + kHalf] = static_cast<float>(High(in[8 + i]) | FifthBit(fifth, i + kHalf)) * d + m;
  }
}

void DecodeQ8_0(const uint8_t* in, float* out) {
  const float d = F16At(in);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(in[2 + i])) * d;
}

void DecodeIq4Nl(const uint8_t* in, float* out) {
  const float d = F16At(in);
  for (int i = 0; i < kHalf; ++i) {
    out[i] = d * static_cast<float>(kIq4Values[Low(in[2 + i])]);
    out[i + kHalf] = d * static_cast<float>(kIq4Values[High(in[2 + i])]);
  }
}

// Blocks of 256.

// 16 bytes of a 4-bit scale and a 4-bit minimum, each of 16 numbers; 64 bytes, of which each 32
// hold 128 numbers, the lowest two bits of all first; f16 d, f16 dmin.
void DecodeQ2K(const uint8_t* in, float* out) {
  const uint8_t* quants = in + 16;
  const float d = F16At(in + 80), dmin = F16At(in + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(Low(in[group]));
    const float min = dmin * static_cast<float>(High(in[group]));
    const uint8_t* bytes = quants + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      *out++ = scale * static_cast<float>(bytes[i] >> shift & 3) - min;
    }
  }
}

// 32 bytes of third bits (bit b of byte i is that of number 32b + i; clear takes 4 off); 64 bytes
// as in Q2_K; 12 bytes of 16 six-bit scales, less 32; f16 d.
void DecodeQ3K(const uint8_t* in, float* out) {
  const uint8_t *high = in, *quants = in + 32, *scales = in + 96;
  const float d = F16At(in + 108);
  for (int group = 0; group < 16; ++group) {
    const int low4 = scales[group % 8] >> group / 8 * 4 & 15;
    const int high2 = scales[8 + group % 4] >> group / 4 * 2 & 3;
    const float scale = d * static_cast<float>((low4 | high2 << 4) - 32);
    const int half = group % 2 * 16;
    const uint8_t* bytes = quants + group / 8 * 32 + half;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      const int third = (high[half + i] >> group / 2 & 1) ? 0 : 4;
      *out++ = scale * static_cast<float>((bytes[i] >> shift & 3) - third);
    }
  }
}

// f16 d, f16 dmin; 12 bytes of scales; in Q5_K 32 bytes of fifth bits (bit b of byte i is that of
// number 32b + i); 128 bytes, of which each 32 hold 64 numbers, all low halves first.
void DecodeQ45K(const uint8_t* in, const uint8_t* fifth, const uint8_t* quants, float* out) {
  const float d = F16At(in), dmin = F16At(in + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin six = ScaleAndMinOf(in + 4, group);
    const float scale = d * static_cast<float>(six.scale), min = dmin * static_cast<float>(six.min);
    const uint8_t* bytes = quants + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      int q = group % 2 ? High(bytes[i]) : Low(bytes[i]);
      if (fifth && (fifth[i] >> group & 1)) q += 16;
      *out++ = scale * static_cast<float>(q) - min;
    }
  }
}
void DecodeQ4K(const uint8_t* in, float* out) { DecodeQ45K(in, nullptr, in + 16, out); }
void DecodeQ5K(const uint8_t* in, float* out) { DecodeQ45K(in, in + 16, in + 48, out); }

// 128 bytes of low halves, of which each 64 hold 128 numbers, all low halves first; 64 bytes of
// high two bits, of which each 32 hold 128 numbers, the lowest bits of all first; 16 int8 scales;
// f16 d.
void DecodeQ6K(const uint8_t* in, float* out) {
  const uint8_t *low = in, *high = in + 128, *scales = in + 192;
  const float d = F16At(in + 208);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(static_cast<int8_t>(scales[group]));
    const int quarter = group % 8 / 2;  // of the 128 numbers
    const uint8_t* low_bytes = low + group / 8 * 64 + quarter % 2 * 32 + group % 2 * 16;
    const uint8_t* high_bytes = high + group / 8 * 32 + group % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int low4 = quarter < 2 ? Low(low_bytes[i]) : High(low_bytes[i]);
      const int high2 = high_bytes[i] >> quarter * 2 & 3;
      *out++ = scale * static_cast<float>((low4 | high2 << 4) - 32);
    }
  }
}

// f16 d; 16 bits of high two bits and 4 bytes of low halves of 8 scales, less 32; 8 times 16 bytes
// as in IQ4_NL.
void DecodeIq4Xs(const uint8_t* in, float* out) {
  const float d = F16At(in);
  const uint16_t high = U16(in + 2);
  for (int group = 0; group < 8; ++group) {
    const int low4 = in[4 + group / 2] >> group % 2 * 4 & 15;
    const float scale = d * static_cast<float>((low4 | (high >> group * 2 & 3) << 4) - 32);
    const uint8_t* bytes = in + 8 + group * kHalf;
    for (int i = 0; i < kHalf; ++i) {
      *out++ = scale * static_cast<float>(kIq4Values[Low(bytes[i])]);
    }
    for (int i = 0; i < kHalf; ++i) {
      *out++ = scale * static_cast<float>(kIq4Values[High(bytes[i])]);
    }
  }
}

template <void (*kDecodeBlock)(const uint8_t*, float*), int64_t kNumbers, int64_t kBytes>
void DecodeBlocks(const std::byte* in, int64_t blocks, float* out) {
  const auto* block = reinterpret_cast<const uint8_t*>(in);
  for (int64_t i = 0; i < blocks; ++i) kDecodeBlock(block + i * kBytes, out + i * kNumbers);
}

template <void (*kDecodeBlock)(const uint8_t*, float*), int64_t kNumbers, int64_t kBytes>
constexpr GgmlTypeInfo Readable(GgmlType type, std::string_view name) {
  return {type, name, kNumbers, kBytes, DecodeBlocks<kDecodeBlock, kNumbers, kBytes>};
}
constexpr GgmlTypeInfo Unread(uint32_t id, std::string_view name, int64_t numbers, int64_t bytes) {
  return {static_cast<GgmlType>(id), name, numbers, bytes, nullptr};
}

// ggml/include/ggml.h has the ids, ggml/src/ggml-common.h the blocks. Ids that are missing here are
// retired, or of formats that exist in memory only.
constexpr GgmlTypeInfo kTypes[] = {
    Readable<DecodeF32, 1, 4>(GgmlType::kF32, "F32"),
    Readable<DecodeF16, 1, 2>(GgmlType::kF16, "F16"),
    Readable<DecodeBf16, 1, 2>(GgmlType::kBf16, "BF16"),
    Readable<DecodeQ4_0, 32, 18>(GgmlType::kQ4_0, "Q4_0"),
    Readable<DecodeQ4_1, 32, 20>(GgmlType::kQ4_1, "Q4_1"),
    Readable<DecodeQ5_0, 32, 22>(GgmlType::kQ5_0, "Q5_0"),
    Readable<DecodeQ5_1, 32, 24>(GgmlType::kQ5_1, "Q5_1"),
    Readable<DecodeQ8_0, 32, 34>(GgmlType::kQ8_0, "Q8_0"),
    Readable<DecodeQ2K, 256, 84>(GgmlType::kQ2K, "Q2_K"),
    Readable<DecodeQ3K, 256, 110>(GgmlType::kQ3K, "Q3_K"),
    Readable<DecodeQ4K, 256, 144>(GgmlType::kQ4K, "Q4_K"),
    Readable<DecodeQ5K, 256, 176>(GgmlType::kQ5K, "Q5_K"),
    Readable<DecodeQ6K, 256, 210>(GgmlType::kQ6K, "Q6_K"),
    Readable<DecodeIq4Nl, 32, 18>(GgmlType::kIq4Nl, "IQ4_NL"),
    Readable<DecodeIq4Xs, 256, 136>(GgmlType::kIq4Xs, "IQ4_XS"),
    Unread(16, "IQ2_XXS", 256, 66),
    Unread(17, "IQ2_XS", 256, 74),
    Unread(18, "IQ3_XXS", 256, 98),
    Unread(19, "IQ1_S", 256, 50),
    Unread(21, "IQ3_S", 256, 110),
    Unread(22, "IQ2_S", 256, 82),
    Unread(24, "I8", 1, 1),
    Unread(25, "I16", 1, 2),
    Unread(26, "I32", 1, 4),
    Unread(27, "I64", 1, 8),
    Unread(28, "F64", 1, 8),
    Unread(29, "IQ1_M", 256, 56),
    Unread(34, "TQ1_0", 256, 54),
    Unread(35, "TQ2_0", 256, 66),
    Unread(39, "MXFP4", 32, 17),
    Unread(40, "NVFP4", 64, 36),
    Unread(41, "Q1_0", 128, 18),
};

}  // namespace

const GgmlTypeInfo* FindGgmlType(uint32_t id) {
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& info) {
    return static_cast<uint32_t>(info.type) == id;
  });
  return found == std::end(kTypes) ? nullptr : found;
}

const GgmlTypeInfo& InfoOf(GgmlType type) {
  const GgmlTypeInfo* info = FindGgmlType(static_cast<uint32_t>(type));
  CHECK(info);
  return *info;
}

std::string ReadableGgmlTypes() {
  std::string names;
  for (const GgmlTypeInfo& info : kTypes) {
    if (!info.decode) continue;
    if (!names.empty()) names += ", ";
    names += info.name;
  }
  return names;
}

}  // namespace darkhorse
