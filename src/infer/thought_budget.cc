#include "infer/thought_budget.h"

namespace darkhorse {
namespace {

// A thought that has begun: tokens up to it, and what the last of those says of it already.
struct Beginning {
  size_t tokens = 0;
  std::string said;
};

std::optional<Beginning> FindBeginning(const ThoughtBudget& budget,
                                       std::span<const int32_t> completion) {
  if (budget.begun) return Beginning{};
  std::string text;
  for (size_t i = 0; i < completion.size(); ++i) {
    text += budget.bytes(completion[i]);
    text.erase(0, text.find_first_not_of(" \t\r\n"));  // all of it, where it is nothing else
    if (text.starts_with(budget.open)) return Beginning{i + 1, text.substr(budget.open.size())};
    if (!budget.open.starts_with(text)) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<int32_t> ForcedToken(const ThoughtBudget& budget,
                                   std::span<const int32_t> completion) {
  const std::optional<Beginning> beginning = FindBeginning(budget, completion);
  if (!beginning) return std::nullopt;
  const std::span<const int32_t> thought = completion.subspan(beginning->tokens);
  const auto spent = static_cast<int64_t>(thought.size());
  const int64_t over = spent - budget.tokens;
  if (over < 0 || over >= static_cast<int64_t>(budget.ending.size())) return std::nullopt;
  std::string text = beginning->said;
  for (const int32_t token : thought.first(static_cast<size_t>(budget.tokens)))
    text += budget.bytes(token);
  if (text.find(budget.close) != std::string::npos) return std::nullopt;  // it ended by itself
  return budget.ending[static_cast<size_t>(over)];
}

}  // namespace darkhorse
