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
  bool well_formed = false;  // one answer, and nothing but white space outside the tags
  std::string why;           // if not found, the reason
};

// The tags of a completion must read <think> </think> and then one or more times <answer>
// </answer>, with only white space before the first; anything else (unclosed, nested, out of order)
// has no answer. The last answer counts. Linear time.
Extracted ExtractAnswer(std::string_view completion);

// A whole completion from its two parts.
std::string Completion(std::string_view thoughts, std::string_view answer);

std::string_view TrimAscii(std::string_view text);

// -?(0|[1-9][0-9]{0,17}) and not -0. Nothing else: no sign +, no white space, no other digits than
// ASCII's.
std::optional<int64_t> ParseInteger(std::string_view text);

}  // namespace darkhorse
