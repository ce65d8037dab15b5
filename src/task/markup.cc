#include "task/markup.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/ascii.h"

namespace darkhorse {
namespace {

struct Tag {
  size_t kind;  // index into kTags
  size_t begin;
  size_t end;
};

constexpr std::array<std::string_view, 4> kTags = {kThinkOpen, kThinkClose, kAnswerOpen,
                                                   kAnswerClose};

std::vector<Tag> FindTags(std::string_view text) {
  std::vector<Tag> tags;
  for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
    for (size_t kind = 0; kind < kTags.size(); ++kind) {
      if (text.substr(at, kTags[kind].size()) == kTags[kind]) {
        tags.push_back({kind, at, at + kTags[kind].size()});
      }
    }
  }
  return tags;
}

std::string OrderProblem(const std::vector<Tag>& tags) {
  for (size_t i = 0; i < tags.size(); ++i) {
    const size_t expected = i < 2 ? i : 2 + i % 2;
    if (tags[i].kind != expected) {
      return std::string(kTags[tags[i].kind]) + " where " + std::string(kTags[expected]) +
             " belongs";
    }
  }
  if (tags.empty()) return "no <think>";
  if (tags.size() == 1) return "<think> is not closed";
  if (tags.size() == 2) return "no <answer> after </think>";
  if (tags.size() % 2 == 1) return "<answer> is not closed";
  return "";
}

}  // namespace

Extracted ExtractAnswer(std::string_view completion) {
  Extracted result;
  const std::vector<Tag> tags = FindTags(completion);
  result.why = OrderProblem(tags);
  if (!result.why.empty()) return result;
  const auto blank = [&](size_t begin, size_t end) {
    return TrimAscii(completion.substr(begin, end - begin)).empty();
  };
  if (!blank(0, tags[0].begin)) {
    result.why = "text before <think>";
    return result;
  }
  const Tag& open = tags[tags.size() - 2];
  const Tag& close = tags[tags.size() - 1];
  result.found = true;
  result.answer = TrimAscii(completion.substr(open.end, close.begin - open.end));
  result.well_formed =
      tags.size() == 4 && blank(tags[1].end, open.begin) && blank(close.end, completion.size());
  return result;
}

std::string Completion(std::string_view thoughts, std::string_view answer) {
  std::string text(kThinkOpen);
  text.append(thoughts).append(kThinkClose).append(kAnswerOpen).append(answer).append(kAnswerClose);
  return text;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || digits.size() > 18) return std::nullopt;
  if (digits[0] == '0' && (digits.size() > 1 || negative)) return std::nullopt;
  int64_t value = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return negative ? -value : value;
}

}  // namespace darkhorse
