// Sorting numbers, smallest first.
#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "task/builtin.h"
#include "task/markup.h"
#include "task/number.h"

namespace darkhorse {
namespace {

struct Level {
  int count;
  int64_t max_number;
};
constexpr Level kLevels[] = {{4, 20}, {5, 99}, {7, 99}, {10, 99}};

// Integers with one or more spaces between them.
std::optional<std::vector<int64_t>> ParseList(std::string_view text) {
  std::vector<int64_t> list;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const auto value = ParseInteger(text.substr(0, space));
    if (!value) return std::nullopt;
    list.push_back(*value);
    text.remove_prefix(std::min(text.find_first_not_of(' ', space), text.size()));
  }
  if (list.empty()) return std::nullopt;
  return list;
}

class Sort : public Task {
 public:
  std::string Name() const override { return "sort"; }
  int Levels() const override { return std::size(kLevels); }
  std::string Help() const override {
    return "Sort the numbers, smallest first. Think inside <think> and </think>, then give them "
           "with spaces between inside <answer> and </answer>.";
  }

  std::string Key(const Problem& problem) const override { return problem.answer; }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    std::vector<int64_t> list = problem.numbers;
    for (size_t i = list.size() - 1; i > 0; --i) std::swap(list[i], list[random.Below(i + 1)]);
    return fmt::format("{}", fmt::join(list, " "));
  }

 protected:
  void Draw(int level_number, RandomSequence& random, Problem& problem) const override {
    const Level& level = kLevels[level_number - 1];
    for (int i = 0; i < level.count; ++i) {
      problem.numbers.push_back(random.Between(0, level.max_number));
    }
    std::vector<int64_t> sorted = problem.numbers;
    std::sort(sorted.begin(), sorted.end());
    problem.prompt = fmt::format("sort {}\n", fmt::join(problem.numbers, " "));
    problem.answer = fmt::format("{}", fmt::join(sorted, " "));
  }

  // 3, 5, 9 or [3, 5, 9], 3 < 5 < 9 or 3、5、9.
  Verdict JudgeFree(std::string_view answer, const Problem& problem,
                    std::string& why) const override {
    std::string list = PlainMath(answer, /*without_variable=*/false);
    for (const std::string_view between : {",", "[", "]", "<", "、", "，"}) {
      for (size_t at = list.find(between); at != list.npos; at = list.find(between, at))
        list.replace(at, between.size(), " ");
    }
    return Judge(TrimAscii(list), problem, why);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("把 {} 从小到大排序。", fmt::join(problem.numbers, "、"));
    return fmt::format("Sort these numbers from the smallest to the largest: {}.",
                       fmt::join(problem.numbers, ", "));
  }

  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override {
    const auto list = ParseList(answer);
    if (!list) {
      why = "the answer is not a list of integers";
      return Verdict::kIllegal;
    }
    std::vector<int64_t> sorted = problem.numbers;
    std::sort(sorted.begin(), sorted.end());
    why = *list == sorted ? "right" : "not the numbers in order";
    return *list == sorted ? Verdict::kCorrect : Verdict::kWrong;
  }

  // Insertion sort: the sorted list after each number.
  std::vector<std::string> Steps(const Problem& problem) const override {
    std::vector<std::string> steps;
    std::vector<int64_t> list;
    for (int64_t number : problem.numbers) {
      list.insert(std::upper_bound(list.begin(), list.end(), number), number);
      steps.push_back(fmt::format("{}", fmt::join(list, " ")));
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeSort() { return std::make_unique<Sort>(); }

}  // namespace darkhorse
