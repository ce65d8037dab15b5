#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace darkhorse {

namespace {

// Length of the valid character at `p`, or 0. The table is Unicode 15, table 3-7 "Well-Formed UTF-8
// Byte Sequences".
size_t ValidCharacter(const uint8_t* p, size_t left) {
  const uint8_t first = p[0];
  const auto continues = [&](size_t i, int low = 0x80, int high = 0xBF) {
    return i < left && p[i] >= low && p[i] <= high;
  };
  if (first < 0x80) return 1;
  if (first < 0xC2) return 0;
  if (first < 0xE0) return continues(1) ? 2 : 0;
  if (first < 0xF0) {
    const int low = first == 0xE0 ? 0xA0 : 0x80;
    const int high = first == 0xED ? 0x9F : 0xBF;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (first > 0xF4) return 0;
  const int low = first == 0xF0 ? 0x90 : 0x80;
  const int high = first == 0xF4 ? 0x8F : 0xBF;
  return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
}

}  // namespace

bool IsWideText(std::string_view start) {
  if (start.starts_with("\xFF\xFE") || start.starts_with("\xFE\xFF")) return true;
  start = start.substr(0, 512);
  const auto zeros = static_cast<size_t>(std::count(start.begin(), start.end(), '\0'));
  return start.size() >= 4 && zeros >= start.size() / 4;
}

size_t ValidUtf8Prefix(std::string_view text) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  const size_t size = text.size();
  size_t i = 0;
  while (i < size) {
    uint64_t eight;
    if (size - i >= 8 && (std::memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const size_t length = ValidCharacter(p + i, size - i);
    if (length == 0) break;
    i += length;
  }
  return i;
}

char32_t NextUtf8(std::string_view text, size_t* pos) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data()) + *pos;
  const size_t length = Utf8Length(text[*pos]);
  *pos += length;
  if (length == 1) return p[0];
  char32_t value = p[0] & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) value = value << 6 | (p[i] & 0x3Fu);
  return value;
}

char32_t PreviousUtf8(std::string_view text, size_t* pos) {
  do --*pos;
  while ((static_cast<uint8_t>(text[*pos]) & 0xC0) == 0x80);
  size_t start = *pos;
  return NextUtf8(text, &start);
}

void AppendUtf8(char32_t character, std::string* out) {
  const auto append = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (character < 0x80) {
    append(character);
  } else if (character < 0x800) {
    append(0xC0 | character >> 6);
    append(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    append(0xE0 | character >> 12);
    append(0x80 | (character >> 6 & 0x3F));
    append(0x80 | (character & 0x3F));
  } else {
    append(0xF0 | character >> 18);
    append(0x80 | (character >> 12 & 0x3F));
    append(0x80 | (character >> 6 & 0x3F));
    append(0x80 | (character & 0x3F));
  }
}

bool CommandsTerminal(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069);
}

std::string EscapedForTerminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    for (size_t at = 0; at < valid;) {
      const size_t begin = at;
      const char32_t c = NextUtf8(text, &at);
      if (!CommandsTerminal(c) || c == '\n' || c == '\t') {
        out += text.substr(begin, at - begin);
      } else {
        out += c < 0x80 ? fmt::format("\\x{:02x}", static_cast<uint32_t>(c))
                        : fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
      }
    }
    if (valid < text.size())
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[valid]));
    text.remove_prefix(std::min(valid + 1, text.size()));
  }
  return out;
}

std::string EscapedLine(std::string_view text) {
  std::string line = EscapedForTerminal(text);
  for (size_t at = 0; (at = line.find_first_of("\n\t", at)) != line.npos; at += 2)
    line.replace(at, 1, line[at] == '\n' ? "\\n" : "\\t");
  return line;
}

}  // namespace darkhorse
