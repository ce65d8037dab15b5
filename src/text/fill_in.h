// Filling in: a model that was trained for it (Bavarian et al. 2022) writes what stands between two
// texts. It is asked by tokens of its vocabulary, in the order prefix, suffix, middle.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace darkhorse {

struct FillInMarks {
  std::string prefix, suffix, middle;
  std::vector<int32_t> ends;  // tokens after which nothing of the middle comes
};

// Those that the tokenizer has; none: its model was not trained to fill in.
std::optional<FillInMarks> FillInMarksOf(const Tokenizer& tokenizer);

// The text that the model goes on from, its marks as special tokens.
std::string FillInPrompt(const FillInMarks& marks, std::string_view before, std::string_view after);

}  // namespace darkhorse
