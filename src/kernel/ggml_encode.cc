#include "kernel/ggml_encode.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernel/f16.h"

namespace darkhorse {
namespace {

void PutF16(float value, uint8_t* out) {
  const F16 half = RoundToF16(value);
  std::memcpy(out, &half.bits, sizeof(half.bits));
}

// 1/d, and 0 where there is none: then every number of the block is stored as that of 0.
float Inverse(float d) {
  const float inverse = d == 0 ? 0 : 1 / d;
  return std::isfinite(inverse) ? inverse : 0;
}

// To the nearest integer in [0, most]; 0 of what is no number, as a range without width gives.
int Rounded(float x, int most) {
  return x > 0 ? static_cast<int>(std::min(std::nearbyint(x), static_cast<float>(most))) : 0;
}

void EncodeF32(const float* in, uint8_t* out) { std::memcpy(out, in, sizeof(*in)); }
void EncodeF16(const float* in, uint8_t* out) { PutF16(*in, out); }
// Unlike kernel/bf16.h, which rounds for products, it keeps denormals.
void EncodeBf16(const float* in, uint8_t* out) {
  uint32_t bits;
  std::memcpy(&bits, in, sizeof(bits));
  const auto half = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  std::memcpy(out, &half, sizeof(half));
}

void EncodeQ8_0(const float* in, uint8_t* out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(in[i]));
  const float d = largest / 127, inverse = Inverse(d);
  PutF16(d, out);
  for (int i = 0; i < 32; ++i) {
    const float q = std::clamp(std::round(in[i] * inverse), -127.0f, 127.0f);
    out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(q));
  }
}

// Q4_0 and Q5_0: the number of the largest magnitude, with its sign, is stored as 0, so the scale
// has the other sign and the opposite end of the range is one step short.
void EncodeSymmetric(const float* in, int half_range, uint8_t* d_out, uint8_t* q) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::abs(in[i]) > std::abs(largest)) largest = in[i];
  }
  const float d = largest / static_cast<float>(-half_range), inverse = Inverse(d);
  PutF16(d, d_out);
  const float middle = static_cast<float>(half_range) + 0.5f;
  for (int i = 0; i < 32; ++i) {
    q[i] = static_cast<uint8_t>(
        std::clamp(static_cast<int>(in[i] * inverse + middle), 0, 2 * half_range - 1));
  }
}

void PutNibbles(const uint8_t* q, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | q[i + 16] << 4);
}

void EncodeQ4_0(const float* in, uint8_t* out) {
  uint8_t q[32];
  EncodeSymmetric(in, 8, out, q);
  PutNibbles(q, out + 2);
}

void EncodeQ5_0(const float* in, uint8_t* out) {
  uint8_t q[32];
  EncodeSymmetric(in, 16, out, q);
  uint32_t fifth = 0;
  for (int i = 0; i < 32; ++i) fifth |= static_cast<uint32_t>(q[i] >> 4) << i;
  std::memcpy(out + 2, &fifth, sizeof(fifth));
  PutNibbles(q, out + 6);
}

// A group of 32 numbers of Q4_K as scale * q - min, q of 0 … 15, min of 0 or more.
constexpr int kGroup = 32;
constexpr int kMost = 15;
struct ScaleMin {
  float scale = 0, min = 0;
};

// What a group's error counts for each number: more for the large ones.
void Weigh(const float* x, float* weights) {
  float squares = 0;
  for (int i = 0; i < kGroup; ++i) squares += x[i] * x[i];
  const float average = std::sqrt(squares / kGroup);
  for (int i = 0; i < kGroup; ++i) weights[i] = average + std::abs(x[i]);
}

// The scale and minimum of the least weighted squared error among 22 tries: the range cut into 15
// steps, and, for 14.0, 14.1, ... 16.0 steps, the least-squares line through the integers that
// these give. A better line's minimum is where the next cuts begin. (ggml's make_qkx2_quants.)
ScaleMin FitGroup(const float* x) {
  float w[kGroup];
  Weigh(x, w);
  float low = std::min(0.0f, *std::min_element(x, x + kGroup));
  const float high = *std::max_element(x, x + kGroup);
  if (!(high > low)) return {0, -low};
  int q[kGroup];
  const auto quantise = [&](float inverse) {
    for (int i = 0; i < kGroup; ++i) q[i] = Rounded(inverse * (x[i] - low), kMost);
  };
  const auto error = [&](float scale, float offset) {
    float sum = 0;
    for (int i = 0; i < kGroup; ++i) {
      const float off = scale * static_cast<float>(q[i]) + offset - x[i];
      sum += w[i] * off * off;
    }
    return sum;
  };
  float sum_w = 0, sum_wx = 0;
  for (int i = 0; i < kGroup; ++i) {
    sum_w += w[i];
    sum_wx += w[i] * x[i];
  }
  const float first = kMost / (high - low);
  if (!std::isfinite(first)) return {0, -low};
  quantise(first);
  float best = 1 / first;
  float least = error(best, low);
  for (int step = 0; step <= 20; ++step) {
    quantise((-1 + 0.1f * static_cast<float>(step) + kMost) / (high - low));
    float wq = 0, wqq = 0, wqx = 0;
    for (int i = 0; i < kGroup; ++i) {
      const auto number = static_cast<float>(q[i]);
      wq += w[i] * number;
      wqq += w[i] * number * number;
      wqx += w[i] * number * x[i];
    }
    const float determinant = sum_w * wqq - wq * wq;
    if (!(determinant > 0)) continue;
    float scale = (sum_w * wqx - sum_wx * wq) / determinant;
    float offset = (wqq * sum_wx - wq * wqx) / determinant;
    if (offset > 0) {
      offset = 0;
      scale = wqx / wqq;
    }
    const float now = error(scale, offset);
    if (now < least) {
      least = now;
      best = scale;
      low = offset;
    }
  }
  return {best, -low};
}

// The six bits of a scale and a minimum where ScaleAndMinOf finds them.
void PutScaleAndMin(int group, int scale, int min, uint8_t* scales) {
  if (group < 4) {
    scales[group] = static_cast<uint8_t>(scale);
    scales[group + 4] = static_cast<uint8_t>(min);
    return;
  }
  scales[group + 4] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
  scales[group - 4] = static_cast<uint8_t>(scales[group - 4] | (scale >> 4) << 6);
  scales[group] = static_cast<uint8_t>(scales[group] | (min >> 4) << 6);
}

void EncodeQ4K(const float* in, uint8_t* out) {
  ScaleMin fits[8];
  float largest_scale = 0, largest_min = 0;
  for (int group = 0; group < 8; ++group) {
    fits[group] = FitGroup(in + group * kGroup);
    largest_scale = std::max(largest_scale, fits[group].scale);
    largest_min = std::max(largest_min, fits[group].min);
  }
  PutF16(largest_scale / 63, out);
  PutF16(largest_min / 63, out + 2);
  const auto share = [](float x, float of) {  // 63 of the largest, which may be 0
    const float inverse = of > 0 ? 63 / of : 0;
    return std::isfinite(inverse) ? Rounded(inverse * x, 63) : 0;
  };
  for (int group = 0; group < 8; ++group) {
    PutScaleAndMin(group, share(fits[group].scale, largest_scale),
                   share(fits[group].min, largest_min), out + 4);
  }
  // The numbers again, by the scales as they are stored.
  uint16_t bits[2];
  std::memcpy(bits, out, sizeof(bits));
  const float d = ToFloat(F16{bits[0]}), dmin = ToFloat(F16{bits[1]});
  uint8_t q[8][kGroup] = {};
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin six = ScaleAndMinOf(out + 4, group);
    const float scale = d * static_cast<float>(six.scale), min = dmin * static_cast<float>(six.min);
    if (scale == 0) continue;
    for (int i = 0; i < kGroup; ++i) {
      q[group][i] = static_cast<uint8_t>(Rounded((in[group * kGroup + i] + min) / scale, kMost));
    }
  }
  for (int group = 0; group < 8; group += 2) {
    for (int i = 0; i < kGroup; ++i) {
      out[16 + group / 2 * kGroup + i] = static_cast<uint8_t>(q[group][i] | q[group + 1][i] << 4);
    }
  }
}

struct Encoder {
  GgmlType type;
  void (*encode)(const float* in, uint8_t* out);  // one block
};
constexpr Encoder kEncoders[] = {
    {GgmlType::kF32, EncodeF32},   {GgmlType::kF16, EncodeF16},   {GgmlType::kBf16, EncodeBf16},
    {GgmlType::kQ4_0, EncodeQ4_0}, {GgmlType::kQ5_0, EncodeQ5_0}, {GgmlType::kQ8_0, EncodeQ8_0},
    {GgmlType::kQ4K, EncodeQ4K},
};

const Encoder* FindEncoder(GgmlType type) {
  const auto* found = std::find_if(std::begin(kEncoders), std::end(kEncoders),
                                   [&](const Encoder& encoder) { return encoder.type == type; });
  return found == std::end(kEncoders) ? nullptr : found;
}

}  // namespace

bool CanEncode(GgmlType type) { return FindEncoder(type) != nullptr; }

float LargestEncodable(GgmlType type) {
  if (type == GgmlType::kF32) return FLT_MAX;
  if (type == GgmlType::kBf16) return 0x1.fep127f;
  return 65504;
}

void EncodeGgml(GgmlType type, const float* in, int64_t count, std::byte* out) {
  const Encoder* encoder = FindEncoder(type);
  CHECK(encoder);
  const GgmlTypeInfo& info = InfoOf(type);
  CHECK(count % info.numbers == 0);
  auto* block = reinterpret_cast<uint8_t*>(out);
  for (int64_t i = 0; i < count / info.numbers; ++i) {
    encoder->encode(in + i * info.numbers, block + i * info.bytes);
  }
}

}  // namespace darkhorse
