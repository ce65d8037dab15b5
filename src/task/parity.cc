// Parity of a string of bits: is the number of ones odd or even? Guessing is right half the time,
// thinking always.
#include <fmt/format.h>

#include "base/ascii.h"
#include "task/builtin.h"
#include "task/markup.h"
#include "task/number.h"

namespace darkhorse {
namespace {

constexpr int kBits[] = {12, 16, 32, 50};

class Parity : public Task {
 public:
  std::string Name() const override { return "parity"; }
  int Levels() const override { return std::size(kBits); }
  std::string Help() const override {
    return "Is the number of ones odd or even? Think inside <think> and </think>, then answer odd "
           "or "
           "even inside <answer> and </answer>.";
  }

  std::string Guess(const Problem&, RandomSequence& random) const override {
    return random.Below(2) == 0 ? "even" : "odd";
  }

 protected:
  // numbers: the bits; target: how many are ones.
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    problem.prompt = "parity ";
    for (int i = 0; i < kBits[level - 1]; ++i) {
      const int64_t bit = random.Between(0, 1);
      problem.numbers.push_back(bit);
      problem.target += bit;
      problem.prompt += bit == 1 ? "1" : "0";
    }
    problem.prompt += "\n";
    problem.answer = problem.target % 2 == 0 ? "even" : "odd";
  }

  Verdict JudgeFree(std::string_view answer, const Problem& problem,
                    std::string& why) const override {
    return Judge(LowerAscii(TrimAscii(PlainMath(answer))), problem, why);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("{} 中 1 的个数是奇数还是偶数？奇数回答 odd，偶数回答 even。",
                         fmt::join(problem.numbers, ""));
    return fmt::format("Is the number of ones in {} odd or even?", fmt::join(problem.numbers, ""));
  }

  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override {
    if (answer != "odd" && answer != "even") {
      why = "the answer is neither odd nor even";
      return Verdict::kIllegal;
    }
    why = answer == problem.answer ? "right" : "wrong";
    return answer == problem.answer ? Verdict::kCorrect : Verdict::kWrong;
  }

  // Each bit and the parity so far.
  std::vector<std::string> Steps(const Problem& problem) const override {
    std::vector<std::string> steps;
    int64_t parity = 0;
    for (int64_t bit : problem.numbers) {
      parity = (parity + bit) % 2;
      steps.push_back(fmt::format("{}{}", bit, parity));
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeParity() { return std::make_unique<Parity>(); }

}  // namespace darkhorse
