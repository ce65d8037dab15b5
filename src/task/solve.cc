// Linear equations in x: 3x+5=20, 7x-5=2x+20.
#include <fmt/format.h>

#include <optional>

#include "base/ascii.h"
#include "task/builtin.h"
#include "task/markup.h"
#include "task/rational.h"

namespace darkhorse {
namespace {

// "5", "-5", "7/3", "-7/3", each also after "x=", spaces around the signs allowed: "x = 7 / 3". A
// fraction need not be in lowest terms.
std::optional<Rational> ParseSolution(std::string_view text) {
  if (text.starts_with('x')) {
    text = TrimAscii(text.substr(1));
    if (!text.starts_with('=')) return std::nullopt;
    text = TrimAscii(text.substr(1));
  }
  const size_t slash = text.find('/');
  const std::string_view above = TrimAscii(text.substr(0, slash));
  const std::string_view below = slash == text.npos ? "1" : TrimAscii(text.substr(slash + 1));
  const auto numerator = ParseInteger(above), denominator = ParseInteger(below);
  if (!numerator || !denominator || *denominator <= 0) return std::nullopt;
  return Apply({*numerator, 1}, '/', {*denominator, 1});
}

// "3x+5", "-2x", "7"
std::string Side(int64_t slope, int64_t constant) {
  if (slope == 0) return std::to_string(constant);
  return constant == 0 ? fmt::format("{}x", slope) : fmt::format("{}x{:+}", slope, constant);
}

int64_t Slope(RandomSequence& random, bool negative) {
  const int64_t size = random.Between(2, 9);
  return negative && random.Below(2) == 0 ? -size : size;
}

// "3x+5=20"
std::string Equation(const Problem& problem) {
  const auto& n = problem.numbers;
  return Side(n[0], n[1]) + "=" + Side(n[2], n[3]);
}

class Solve : public Task {
 public:
  std::string Name() const override { return "solve"; }
  int Levels() const override { return 4; }
  std::string Help() const override {
    return "Solve the equation for x. Think inside <think> and </think>, then give x, an integer "
           "or "
           "a fraction such as 7/3, inside <answer> and </answer>.";
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    if (problem.level < 4) {
      return std::to_string(random.Between(problem.level == 1 ? 0 : -20, 20));
    }
    return ToString(*Apply({random.Between(-20, 20), 1}, '/', {random.Between(1, 9), 1}));
  }

 protected:
  // numbers: a, b, c, d of ax+b = cx+d.
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    const bool signs = level >= 2;
    const int64_t a = Slope(random, signs);
    int64_t c = 0;
    while (level >= 3 && (c == 0 || c == a)) c = Slope(random, true);
    const int64_t b = random.Between(signs ? -20 : 1, 20);
    const int64_t x = random.Between(signs ? -20 : 0, 20);
    const int64_t d = level == 4 ? random.Between(-20, 20) : (a - c) * x + b;
    const Rational solution = *Apply({d - b, 1}, '/', {a - c, 1});
    problem.numbers = {a, b, c, d};
    problem.prompt = fmt::format("solve {}\n", Equation(problem));
    problem.answer = ToString(solution);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese) return fmt::format("解方程 {}，求 x。", Equation(problem));
    return fmt::format("Solve the equation {} for x.", Equation(problem));
  }

  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override {
    const auto value = ParseSolution(answer);
    if (!value) {
      why = "the answer is neither an integer nor a fraction";
      return Verdict::kIllegal;
    }
    const auto& n = problem.numbers;
    const bool right = *value == *Apply({n[3] - n[1], 1}, '/', {n[0] - n[2], 1});
    why = right ? "right" : fmt::format("x={} is wrong", ToString(*value));
    return right ? Verdict::kCorrect : Verdict::kWrong;
  }

  std::vector<std::string> Steps(const Problem& problem) const override {
    const int64_t a = problem.numbers[0], b = problem.numbers[1];
    const int64_t c = problem.numbers[2], d = problem.numbers[3];
    std::vector<std::string> steps;
    if (c != 0) steps.push_back(fmt::format("{}x{:+}x={}x", a, -c, a - c));
    if (b != 0) steps.push_back(fmt::format("{}{:+}={}", d, -b, d - b));
    steps.push_back(fmt::format("x={}/{}={}", d - b, a - c, problem.answer));
    return steps;
  }
};

}  // namespace

std::unique_ptr<Task> MakeSolve() { return std::make_unique<Solve>(); }

}  // namespace darkhorse
