// Writing a number in another base: base 10 to 2 37.
#include <fmt/format.h>

#include <algorithm>

#include "task/builtin.h"

namespace darkhorse {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr size_t kMaxDigits = 32;

std::string Write(int64_t value, int64_t base) {
  std::string text;
  do {
    text += kDigits[value % base];
    value /= base;
  } while (value > 0);
  std::reverse(text.begin(), text.end());
  return text;
}

int64_t DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

class Base : public Task {
 public:
  std::string Name() const override { return "base"; }
  int Levels() const override { return 4; }
  std::string Help() const override {
    return "Rewrite the number, given in the first base, in the second; digits above 9 are a to f. "
           "Think inside <think> and </think>, then give the digits inside <answer> and </answer>.";
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    const int64_t base = problem.numbers[1];
    std::string text;
    for (size_t i = 0; i < problem.answer.size(); ++i) {
      text += kDigits[random.Between(i == 0 && problem.answer.size() > 1 ? 1 : 0, base - 1)];
    }
    return text;
  }

 protected:
  // numbers: base from, base to; target: the value.
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    int64_t from = 10, to = 10;
    if (level == 1) to = random.Between(2, 9);
    if (level == 2) from = random.Between(2, 9);
    if (level == 3) {
      to = random.Between(2, 15);
      to += to >= 10;  // any but 10
    }
    while (level == 4 && (from == to || from == 10 || to == 10)) {
      from = random.Between(2, 16);
      to = random.Between(2, 16);
    }
    problem.numbers = {from, to};
    problem.target = random.Between(0, level <= 2 ? 255 : 4095);
    problem.prompt = fmt::format("base {} to {} {}\n", from, to, Write(problem.target, from));
    problem.answer = Write(problem.target, to);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("把 {} 进制数 {} 写成 {} 进制。", problem.numbers[0],
                         Write(problem.target, problem.numbers[0]), problem.numbers[1]);
    return fmt::format("Write the number {1}, given in base {0}, in base {2}.", problem.numbers[0],
                       Write(problem.target, problem.numbers[0]), problem.numbers[1]);
  }

  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override {
    const int64_t base = problem.numbers[1];
    const bool digits =
        !answer.empty() && answer.size() <= kMaxDigits &&
        std::all_of(answer.begin(), answer.end(), [&](char c) { return DigitValue(c) < base; });
    if (!digits || (answer[0] == '0' && answer.size() > 1)) {
      why = fmt::format("the answer is not a number in base {}", base);
      return Verdict::kIllegal;
    }
    const bool right =
        std::equal(answer.begin(), answer.end(), problem.answer.begin(), problem.answer.end(),
                   [](char a, char b) { return DigitValue(a) == DigitValue(b); });
    why = right ? "right" : fmt::format("{} is wrong", answer);
    return right ? Verdict::kCorrect : Verdict::kWrong;
  }

  // Horner's rule into base 10, then division with remainder out of it.
  std::vector<std::string> Steps(const Problem& problem) const override {
    const int64_t from = problem.numbers[0], to = problem.numbers[1];
    std::vector<std::string> steps;
    if (from != 10) {
      int64_t value = 0;
      for (char c : Write(problem.target, from)) {
        const int64_t next = value * from + DigitValue(c);
        steps.push_back(fmt::format("{}*{}+{}={}", value, from, DigitValue(c), next));
        value = next;
      }
    }
    if (to != 10) {
      for (int64_t value = problem.target; value > 0; value /= to) {
        steps.push_back(fmt::format("{}={}*{}+{}", value, to, value / to, value % to));
      }
    }
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeBase() { return std::make_unique<Base>(); }

}  // namespace darkhorse
