// UTF-8: where valid text ends, and single characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace darkhorse {

// Bytes of the longest valid UTF-8 prefix (RFC 3629: no surrogates, no overlong forms, at most
// U+10FFFF).
size_t ValidUtf8Prefix(std::string_view text);

inline bool IsValidUtf8(std::string_view text) { return ValidUtf8Prefix(text) == text.size(); }

// Whether a text that begins like this is UTF-16 or UTF-32: by its byte order mark, or because a
// quarter of its first bytes are zero, which no UTF-8 text has.
bool IsWideText(std::string_view start);
inline constexpr std::string_view kWideTextCure =
    "UTF-16 text, which is not read; convert it: iconv -f UTF-16 -t UTF-8";

// Bytes of the character that starts with this byte, in valid text.
inline size_t Utf8Length(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The character at *pos of valid text; moves *pos behind it.
char32_t NextUtf8(std::string_view text, size_t* pos);

// The character that ends at *pos > 0 of valid text; moves *pos to its start.
char32_t PreviousUtf8(std::string_view text, size_t* pos);

void AppendUtf8(char32_t character, std::string* out);

// Whether a character may command a terminal or turn the text behind it around: the controls of C0
// and C1, newline and tab too, DEL, and the marks that embed, override or isolate a direction.
bool CommandsTerminal(char32_t character);

// Text of a model or of a file made fit for a terminal: such characters but newline and tab, and
// bytes that are not UTF-8, are spelt as "\x1b" and "\u202e". Pieces may be escaped one by one
// where they are cut between characters.
std::string EscapedForTerminal(std::string_view text);

// The same on one line: newline and tab are spelt "\n" and "\t".
std::string EscapedLine(std::string_view text);

}  // namespace darkhorse
