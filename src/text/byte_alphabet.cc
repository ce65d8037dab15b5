#include "text/byte_alphabet.h"

#include "base/utf8.h"

namespace darkhorse {

namespace {

constexpr char32_t kAlphabetEnd = 0x100 + 68;  // 68 bytes do not stand for themselves

bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

const std::array<int, kAlphabetEnd>& BytesOfCharacters() {
  static const auto table = [] {
    std::array<int, kAlphabetEnd> bytes;
    bytes.fill(-1);
    for (int byte = 0; byte < 256; ++byte) bytes[ByteAlphabet()[byte]] = byte;
    return bytes;
  }();
  return table;
}

}  // namespace

const std::array<char32_t, 256>& ByteAlphabet() {
  static const auto table = [] {
    std::array<char32_t, 256> characters;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      characters[byte] = StandsForItself(byte) ? static_cast<char32_t>(byte) : next++;
    }
    return characters;
  }();
  return table;
}

std::string SpellBytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) AppendUtf8(ByteAlphabet()[static_cast<uint8_t>(byte)], &spelling);
  return spelling;
}

std::optional<std::string> UnspellBytes(std::string_view spelling) {
  std::string bytes;
  for (size_t pos = 0; pos < spelling.size();) {
    const char32_t character = NextUtf8(spelling, &pos);
    const int byte = character < kAlphabetEnd ? BytesOfCharacters()[character] : -1;
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

}  // namespace darkhorse
