#include "base/base64.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace darkhorse {

std::string Base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) text += k <= count ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string Base64OfFloats(std::span<const float> numbers) {
  static_assert(std::endian::native == std::endian::little);
  return Base64({reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()});
}

}  // namespace darkhorse
