// Three numbers, one added and one taken away: plusminus 34+56-78.
#include <fmt/format.h>

#include "task/builtin.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxNumber[] = {99, 999};

class PlusMinus : public IntegerTask {
 public:
  std::string Name() const override { return "plusminus"; }
  int Levels() const override { return std::size(kMaxNumber); }
  std::string Help() const override {
    return "Add the second number to the first and take the third away. Think inside <think> and "
           "</think>, then give the result, an integer, inside <answer> and </answer>.";
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    return std::to_string(random.Between(-problem.numbers[2], problem.numbers[0] * 2));
  }

 protected:
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    for (int i = 0; i < 3; ++i)
      problem.numbers.push_back(random.Between(10, kMaxNumber[level - 1]));
    problem.target = problem.numbers[0] + problem.numbers[1] - problem.numbers[2];
    problem.prompt = fmt::format("plusminus {}+{}-{}\n", problem.numbers[0], problem.numbers[1],
                                 problem.numbers[2]);
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    return fmt::format(fmt::runtime(words == Words::kChinese ? "{} + {} - {} 等于多少？"
                                                             : "What is {} + {} - {}?"),
                       problem.numbers[0], problem.numbers[1], problem.numbers[2]);
  }

  std::vector<std::string> Steps(const Problem& problem) const override {
    const int64_t a = problem.numbers[0], b = problem.numbers[1], c = problem.numbers[2];
    return {fmt::format("{}+{}={}", a, b, a + b), fmt::format("{}-{}={}", a + b, c, a + b - c)};
  }
};

}  // namespace

std::unique_ptr<Task> MakePlusMinus() { return std::make_unique<PlusMinus>(); }

}  // namespace darkhorse
