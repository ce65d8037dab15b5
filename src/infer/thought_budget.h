// A limit on what a completion thinks before it answers: once so many tokens are spent, the end of
// the thought is what comes next, whatever the model would say.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

struct ThoughtBudget {
  int64_t tokens = 0;  // of the thought; those of its tags are not counted
  // The prompt ends within the thought. Otherwise there is one if the completion, white space
  // aside, begins with `open`.
  bool begun = false;
  std::string open, close;
  std::vector<int32_t> ending;                     // what ends it: tokens whose bytes hold `close`
  std::function<std::string_view(int32_t)> bytes;  // of a token; any thread may ask
};

// The token that must follow these of a completion; none: any may. It depends on nothing else.
std::optional<int32_t> ForcedToken(const ThoughtBudget& budget,
                                   std::span<const int32_t> completion);

}  // namespace darkhorse
