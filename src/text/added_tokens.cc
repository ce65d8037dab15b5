#include "text/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace darkhorse {

namespace {

// The property White_Space, which the white space of lstrip and rstrip is.
bool IsSpace(char32_t c) {
  if (c >= 0x09 && c <= 0x0D) return true;
  if (c == 0x85) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

// A word character of UTS #18 annex C, less the few Other_Alphabetic symbols (circled letters).
bool IsWord(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  }
}

bool TouchesWord(std::string_view text, size_t begin, size_t end) {
  size_t before = begin;
  size_t after = end;
  return (begin > 0 && IsWord(PreviousUtf8(text, &before))) ||
         (end < text.size() && IsWord(NextUtf8(text, &after)));
}

}  // namespace

void AddedTokenMatcher::Add(const AddedToken& token, const std::string& content) {
  if (content.empty()) return;
  int32_t node = 0;
  for (const char byte : content) {
    auto& edges = nodes_[node].next;
    const auto edge =
        std::find_if(edges.begin(), edges.end(), [&](const auto& e) { return e.first == byte; });
    if (edge != edges.end()) {
      node = edge->second;
    } else {
      const auto child = static_cast<int32_t>(nodes_.size());
      edges.emplace_back(byte, child);
      nodes_.emplace_back();
      node = child;
    }
  }
  if (nodes_[node].token >= 0) return;  // normalisation made two contents equal: the first stands
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  starts_[static_cast<uint8_t>(content[0])] = true;
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text, size_t pos, size_t* end) const {
  int32_t longest = -1;
  int32_t node = 0;
  while (pos < text.size()) {
    const auto& edges = nodes_[node].next;
    const auto edge = std::find_if(edges.begin(), edges.end(),
                                   [&](const auto& e) { return e.first == text[pos]; });
    if (edge == edges.end()) break;
    node = edge->second;
    ++pos;
    if (nodes_[node].token >= 0) {
      longest = nodes_[node].token;
      *end = pos;
    }
  }
  return longest;
}

bool AddedTokenMatcher::Find(std::string_view text, size_t pos, size_t done, Found* found) const {
  while (pos < text.size()) {
    if (!starts_[static_cast<uint8_t>(text[pos])]) {
      ++pos;
      continue;
    }
    size_t end = 0;
    const int32_t index = LongestAt(text, pos, &end);
    if (index < 0) {
      ++pos;
      continue;
    }
    const AddedToken& token = tokens_[index];
    if (token.single_word && TouchesWord(text, pos, end)) {
      pos = end;  // as Hugging Face's: the rejected match still hides what overlaps it
      continue;
    }
    *found = {token.id, pos, end};
    if (token.lstrip) {
      for (size_t at = pos; at > done && IsSpace(PreviousUtf8(text, &at)); found->begin = at) {
      }
    }
    if (token.rstrip) {
      for (size_t at = end; at < text.size() && IsSpace(NextUtf8(text, &at)); found->end = at) {
      }
    }
    return true;
  }
  return false;
}

}  // namespace darkhorse
