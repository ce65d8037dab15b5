// Chained sums: 3+5-2+7.
#include <fmt/format.h>

#include "task/builtin.h"

namespace darkhorse {
namespace {

struct Level {
  int terms;
  int64_t max_number;
};
constexpr Level kLevels[] = {{4, 9}, {6, 9}, {4, 99}, {8, 99}};

class Sum : public IntegerTask {
 public:
  std::string Name() const override { return "sum"; }
  int Levels() const override { return std::size(kLevels); }
  std::string Help() const override {
    return "Work out the sum from left to right. Think inside <think> and </think>, then give the "
           "result, an integer, inside <answer> and </answer>.";
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    int64_t low = 0, high = 0;
    for (int64_t term : problem.numbers) (term < 0 ? low : high) += term;
    return std::to_string(random.Between(low, high));
  }

 protected:
  // numbers: the signed terms.
  void Draw(int level_number, RandomSequence& random, Problem& problem) const override {
    const Level& level = kLevels[level_number - 1];
    problem.prompt = "sum ";
    for (int i = 0; i < level.terms; ++i) {
      const int64_t number = random.Between(1, level.max_number);
      const bool minus = i > 0 && random.Below(2) == 0;
      problem.prompt += i == 0 ? "" : minus ? "-" : "+";
      problem.prompt += std::to_string(number);
      problem.numbers.push_back(minus ? -number : number);
      problem.target += problem.numbers.back();
    }
    problem.prompt += "\n";
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    std::string sum = std::to_string(problem.numbers[0]);
    for (size_t i = 1; i < problem.numbers.size(); ++i) {
      const int64_t term = problem.numbers[i];
      sum += fmt::format(" {} {}", term < 0 ? '-' : '+', term < 0 ? -term : term);
    }
    return words == Words::kChinese ? sum + " 等于多少？" : "What is " + sum + "?";
  }

  std::vector<std::string> Steps(const Problem& problem) const override {
    std::vector<std::string> steps;
    int64_t sum = problem.numbers[0];
    for (size_t i = 1; i < problem.numbers.size(); ++i) {
      const int64_t next = sum + problem.numbers[i];
      steps.push_back(fmt::format("{}{:+}={}", sum, problem.numbers[i], next));
      sum = next;
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeSum() { return std::make_unique<Sum>(); }

}  // namespace darkhorse
