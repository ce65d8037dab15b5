// Greatest common divisor of two numbers.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "task/builtin.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxNumber[] = {99, 299, 999, 9999};

class Gcd : public IntegerTask {
 public:
  std::string Name() const override { return "gcd"; }
  int Levels() const override { return std::size(kMaxNumber); }
  std::string Help() const override {
    return "Find the greatest common divisor of the two numbers. Think inside <think> and "
           "</think>, "
           "then give it inside <answer> and </answer>.";
  }

  std::string Key(const Problem& problem) const override {
    const auto [low, high] = std::minmax(problem.numbers[0], problem.numbers[1]);
    return fmt::format("{},{}", low, high);
  }

  // Any divisor of the first number.
  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    int64_t divisor = random.Between(1, std::min<int64_t>(problem.numbers[0], 30));
    while (problem.numbers[0] % divisor != 0) --divisor;
    return std::to_string(divisor);
  }

 protected:
  // Two random numbers seldom share much; a common factor is put in first.
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    const int64_t limit = kMaxNumber[level - 1];
    const int64_t factor = random.Between(1, limit / 6);
    const int64_t left = factor * random.Between(1, limit / factor);
    const int64_t right = factor * random.Between(1, limit / factor);
    problem.numbers = {left, right};
    problem.target = std::gcd(left, right);
    problem.prompt = fmt::format("gcd {} {}\n", left, right);
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    const int64_t a = problem.numbers[0], b = problem.numbers[1];
    if (words == Words::kChinese) return fmt::format("{} 和 {} 的最大公约数是多少？", a, b);
    return fmt::format("What is the greatest common divisor of {} and {}?", a, b);
  }

  // Euclid's remainders.
  std::vector<std::string> Steps(const Problem& problem) const override {
    auto [small, large] = std::minmax({problem.numbers[0], problem.numbers[1]});
    std::vector<std::string> steps;
    while (small != 0) {
      const int64_t rest = large % small;
      steps.push_back(fmt::format("{}%{}={}", large, small, rest));
      large = small;
      small = rest;
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeGcd() { return std::make_unique<Gcd>(); }

}  // namespace darkhorse
