// The markup of a completion: <think>…</think><answer>…</answer>.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "text/tags.h"

namespace darkhorse {

// A longer answer is illegal and is not parsed.
inline constexpr size_t kMaxAnswerLength = 256;

struct Extracted {
  bool found = false;
  std::string_view
      answer;  // the last answer, ASCII white space trimmed; points into the completion
  bool well_formed = false;     // one answer, and nothing but white space outside the tags
  std::string why;              // if not found, the reason
  std::string_view place = {};  // where it stood, a name of task/answer_place.h's
};

// The tags of a completion must be <think> </think>, then <answer> </answer> once or more, and only
// white space may stand before the first. If a tag is unclosed, nested or out of order, there is no
// answer. The last answer counts. Linear time.
Extracted ExtractAnswer(std::string_view completion);

// A whole completion from its two parts.
std::string Completion(std::string_view thoughts, std::string_view answer);

// Reads -?(0|[1-9][0-9]{0,17}), but not -0; nothing else, so no "+", no white space and only ASCII
// digits.
std::optional<int64_t> ParseInteger(std::string_view text);

}  // namespace darkhorse
