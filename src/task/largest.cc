// The largest of several numbers: largest 412 967 105 388 740.
#include <fmt/format.h>

#include <algorithm>

#include "task/builtin.h"

namespace darkhorse {
namespace {

struct Level {
  int count;
  int64_t low, high;
};
constexpr Level kLevels[] = {{5, 100, 999}, {8, 100, 999}, {8, 1000, 9999}};

class Largest : public IntegerTask {
 public:
  std::string Name() const override { return "largest"; }
  int Levels() const override { return std::size(kLevels); }
  std::string Help() const override {
    return "Find the largest of the numbers. Think inside <think> and </think>, then give it "
           "inside "
           "<answer> and </answer>.";
  }

  // The numbers in any order are the same problem.
  std::string Key(const Problem& problem) const override {
    std::vector<int64_t> sorted = problem.numbers;
    std::sort(sorted.begin(), sorted.end());
    return fmt::format("{}", fmt::join(sorted, ","));
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    return std::to_string(problem.numbers[random.Below(problem.numbers.size())]);
  }

 protected:
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    const auto [count, low, high] = kLevels[level - 1];
    for (int i = 0; i < count; ++i) problem.numbers.push_back(random.Between(low, high));
    problem.target = *std::max_element(problem.numbers.begin(), problem.numbers.end());
    problem.prompt = fmt::format("largest {}\n", fmt::join(problem.numbers, " "));
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("{} 中最大的数是多少？", fmt::join(problem.numbers, "、"));
    return fmt::format("Which of these numbers is the largest: {}?",
                       fmt::join(problem.numbers, ", "));
  }

  // Each number beside the largest so far.
  std::vector<std::string> Steps(const Problem& problem) const override {
    std::vector<std::string> steps;
    int64_t largest = problem.numbers[0];
    for (size_t i = 1; i < problem.numbers.size(); ++i) {
      const int64_t next = std::max(largest, problem.numbers[i]);
      steps.push_back(fmt::format("{} {}: {}", largest, problem.numbers[i], next));
      largest = next;
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeLargest() { return std::make_unique<Largest>(); }

}  // namespace darkhorse
