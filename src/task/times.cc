// Products that are worked out in the head: 17*8. Of one with `multiply`, whose factors are larger.
#include <fmt/format.h>

#include <algorithm>

#include "task/builtin.h"

namespace darkhorse {
namespace {

struct Level {
  int64_t high_left, high_right;
};
constexpr Level kLevels[] = {{19, 9}, {99, 9}, {99, 19}};

class Times : public IntegerTask {
 public:
  std::string Name() const override { return "times"; }
  int Levels() const override { return std::size(kLevels); }
  std::string Help() const override {
    return "Multiply the two numbers. Think inside <think> and </think>, then give the product "
           "inside <answer> and </answer>.";
  }

  std::string Key(const Problem& problem) const override {
    const auto [low, high] = std::minmax(problem.numbers[0], problem.numbers[1]);
    return fmt::format("{},{}", low, high);
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    return std::to_string(problem.numbers[0] * random.Between(2, 20));
  }

 protected:
  // numbers: the factors.
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    const auto [high_left, high_right] = kLevels[level - 1];
    const int64_t left = random.Between(2, high_left), right = random.Between(2, high_right);
    problem.numbers = {left, right};
    problem.target = left * right;
    problem.prompt = fmt::format("times {}*{}\n", left, right);
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    return fmt::format(
        fmt::runtime(words == Words::kChinese ? "{} 乘以 {} 等于多少？" : "What is {} times {}?"),
        problem.numbers[0], problem.numbers[1]);
  }

  // The tens of the left factor and its ones, each times the right one.
  std::vector<std::string> Steps(const Problem& problem) const override {
    const int64_t left = problem.numbers[0], right = problem.numbers[1];
    const int64_t tens = left / 10 * 10, ones = left % 10;
    if (tens == 0 || ones == 0) return {fmt::format("{}*{}={}", left, right, left * right)};
    return {fmt::format("{}*{}={}", tens, right, tens * right),
            fmt::format("{}*{}={}", ones, right, ones * right),
            fmt::format("{}+{}={}", tens * right, ones * right, left * right)};
  }
};

}  // namespace

std::unique_ptr<Task> MakeTimes() { return std::make_unique<Times>(); }

}  // namespace darkhorse
