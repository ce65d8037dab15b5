// The byte alphabet of GPT-2: tokenizer.json spells each byte as one printable character, so that
// vocabulary entries are readable text. Printable Latin-1 bytes stand for themselves, the others
// for U+0100, U+0101, ... in order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace darkhorse {

// The character that spells each byte.
const std::array<char32_t, 256>& ByteAlphabet();

// "Ġthe" for " the".
std::string SpellBytes(std::string_view bytes);

// The reverse; none if some character of the (valid UTF-8) spelling is outside the alphabet.
std::optional<std::string> UnspellBytes(std::string_view spelling);

}  // namespace darkhorse
