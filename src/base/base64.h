// Base64 (RFC 4648, section 4, padded).
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace darkhorse {

std::string Base64(std::string_view bytes);
// Of the numbers' bytes, little-endian.
std::string Base64OfFloats(std::span<const float> numbers);

}  // namespace darkhorse
