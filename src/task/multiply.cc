// Multi-digit multiplication: 47*23.
#include <fmt/format.h>

#include <algorithm>

#include "task/builtin.h"

namespace darkhorse {
namespace {

// Factors start at 21, above the numbers whose products other traces and the fact sheets of the
// corpus are full of.
struct Level {
  int64_t low_left, high_left;
  int64_t low_right, high_right;
};
constexpr Level kLevels[] = {
    {21, 49, 21, 49}, {21, 99, 21, 99}, {100, 999, 21, 99}, {100, 999, 100, 999}};

class Multiply : public IntegerTask {
 public:
  std::string Name() const override { return "multiply"; }
  int Levels() const override { return std::size(kLevels); }
  std::string Help() const override {
    return "Multiply the two numbers. Think inside <think> and </think>, then give the product, an "
           "integer, inside <answer> and </answer>.";
  }

  std::string Key(const Problem& problem) const override {
    const auto [low, high] = std::minmax(problem.numbers[0], problem.numbers[1]);
    return fmt::format("{}*{}", low, high);
  }

  // Somebody in a hurry gets the size and the last digit right.
  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    const int64_t tenth = problem.target / 10;
    const int64_t off = random.Between(-(tenth / 2), tenth / 2);
    return std::to_string((tenth + off) * 10 + problem.target % 10);
  }

 protected:
  void Draw(int level_number, RandomSequence& random, Problem& problem) const override {
    const Level& level = kLevels[level_number - 1];
    const int64_t left = random.Between(level.low_left, level.high_left);
    const int64_t right = random.Between(level.low_right, level.high_right);
    problem.numbers = {left, right};
    problem.target = left * right;
    problem.prompt = fmt::format("multiply {}*{}\n", left, right);
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("{} 乘以 {} 等于多少？", problem.numbers[0], problem.numbers[1]);
    return fmt::format("What is {} times {}?", problem.numbers[0], problem.numbers[1]);
  }

  // One partial product a digit of the right factor, added up as they come.
  std::vector<std::string> Steps(const Problem& problem) const override {
    std::vector<std::string> steps;
    const int64_t left = problem.numbers[0];
    int64_t sum = 0, place = 1;
    for (int64_t rest = problem.numbers[1]; rest > 0; rest /= 10, place *= 10) {
      const int64_t part = left * (rest % 10) * place;
      steps.push_back(fmt::format("{}*{}={}", left, rest % 10 * place, part));
      if (place > 1) steps.push_back(fmt::format("{}+{}={}", sum, part, sum + part));
      sum += part;
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeMultiply() { return std::make_unique<Multiply>(); }

}  // namespace darkhorse
