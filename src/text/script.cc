#include "text/script.h"

#include <algorithm>

#include "base/utf8.h"

namespace darkhorse {
namespace {

// Blocks of Unicode.
struct Range {
  char32_t first, last;
  std::string_view script;
};
constexpr Range kRanges[] = {
    {'A', 'Z', "latin"},        {'a', 'z', "latin"},          {0xC0, 0xD6, "latin"},
    {0xD8, 0xF6, "latin"},      {0xF8, 0x24F, "latin"},       {0x1E00, 0x1EFF, "latin"},
    {0x370, 0x3FF, "greek"},    {0x400, 0x52F, "cyrillic"},   {0x590, 0x5FF, "hebrew"},
    {0x600, 0x6FF, "arabic"},   {0x900, 0x97F, "devanagari"}, {0xE00, 0xE7F, "thai"},
    {0x1100, 0x11FF, "hangul"}, {0x3040, 0x30FF, "kana"},     {0x3400, 0x4DBF, "han"},
    {0x4E00, 0x9FFF, "han"},    {0xAC00, 0xD7AF, "hangul"},   {0xF900, 0xFAFF, "han"},
    {0x20000, 0x323AF, "han"},
};

std::string_view ScriptOf(char32_t character) {
  for (const Range& range : kRanges) {
    if (character >= range.first && character <= range.last) return range.script;
  }
  return "";
}

bool IsLetter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// Bytes of the TeX command or the tag that begins here, 0: of none.
size_t Markup(std::string_view text) {
  size_t at = 1;
  if (text[0] == '<' && text.size() > 1 && text[1] == '/') ++at;
  if (text[0] != '\\' && text[0] != '<') return 0;
  const size_t name = at;
  while (at < text.size() && IsLetter(text[at])) ++at;
  if (at == name) return 0;
  if (text[0] == '\\') return at;
  return at < text.size() && text[at] == '>' ? at + 1 : 0;
}

}  // namespace

std::vector<std::string> ScriptNames() {
  std::vector<std::string> names;
  for (const Range& range : kRanges) {
    if (names.empty() || std::find(names.begin(), names.end(), range.script) == names.end())
      names.emplace_back(range.script);
  }
  return names;
}

double ScriptShare(std::string_view text, std::string_view script) {
  text = text.substr(0, ValidUtf8Prefix(text));
  double letters = 0, own = 0;
  for (size_t at = 0; at < text.size();) {
    if (const size_t markup = Markup(text.substr(at)); markup > 0) {
      at += markup;
      continue;
    }
    const std::string_view found = ScriptOf(NextUtf8(text, &at));
    letters += !found.empty();
    own += found == script;
  }
  return letters == 0 ? 1 : own / letters;
}

}  // namespace darkhorse
