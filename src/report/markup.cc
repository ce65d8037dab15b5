#include "report/markup.h"

#include "base/utf8.h"

namespace darkhorse {
namespace {

// Characters that HTML forbids or that turn the direction of the text around them.
bool IsUnfit(char32_t c) {
  return (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
         (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
}

void AppendEscaped(char32_t c, std::string* out) {
  if (c == '<') {
    *out += "&lt;";
  } else if (c == '>') {
    *out += "&gt;";
  } else if (c == '&') {
    *out += "&amp;";
  } else if (c == '"') {
    *out += "&quot;";
  } else if (c < 0x20 && c != '\n' && c != '\t') {
    AppendUtf8(0x2400 + c, out);
  } else {
    AppendUtf8(IsUnfit(c) ? 0xFFFD : c, out);
  }
}

}  // namespace

std::string RepairUtf8(std::string_view text) {
  std::string out;
  for (size_t valid; (valid = ValidUtf8Prefix(text)) < text.size(); text.remove_prefix(valid + 1)) {
    out += text.substr(0, valid);
    AppendUtf8(0xFFFD, &out);
  }
  return out += text;
}

std::string EscapeMarkup(std::string_view text) {
  const std::string repaired = RepairUtf8(text);
  std::string out;
  for (size_t pos = 0; pos < repaired.size();) AppendEscaped(NextUtf8(repaired, &pos), &out);
  return out;
}

}  // namespace darkhorse
