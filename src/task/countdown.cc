// Countdown: make a target from numbers, each used exactly once, with + - * / and parentheses.
#include "task/countdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "task/builtin.h"
#include "task/expression.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

constexpr CountdownLevel kLevels[] = {
    {3, 9, 99, false, 999},
    {3, 20, 99, true, 999},
    {4, 9, 99, true, 999},
    {4, 20, 199, true, 999},
};
constexpr int kLevelCount = 4;

// A number on the table: one given, or one made by earlier steps.
struct Item {
  int64_t value;
  std::string text;
  bool made = false;
};

int64_t Result(int64_t left, char op, int64_t right) {
  switch (op) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    default:
      return left / right;
  }
}

// Attempts stay within positive integers, where nothing reachable is lost by it but fractions:
// every operation has its larger operand first, except that a made number leads a sum or product.
// So each attempt has one spelling.
bool Sensible(const CountdownLevel& level, int64_t left, char op, int64_t right) {
  switch (op) {
    case '-':
      return left > right;
    case '/':
      return level.divide && right > 1 && left % right == 0;
    default:
      return Result(left, op, right) <= level.max_value;
  }
}

struct Move {
  size_t left;
  size_t right;
  char op;
};

std::vector<Move> Moves(const CountdownLevel& level, const std::vector<Item>& items, size_t i,
                        size_t j) {
  const bool swap = items[j].value > items[i].value;
  const size_t large = swap ? j : i, small = swap ? i : j;
  const bool small_leads = items[small].made && !items[large].made;
  std::vector<Move> moves;
  for (char op : {'+', '-', '*', '/'}) {
    if (!Sensible(level, items[large].value, op, items[small].value)) continue;
    const bool commutes = op == '+' || op == '*';
    moves.push_back(commutes && small_leads ? Move{small, large, op} : Move{large, small, op});
  }
  return moves;
}

void Play(const Move& move, std::vector<Item>& items, Attempt& attempt) {
  const Item left = items[move.left], right = items[move.right];
  const int64_t value = Result(left.value, move.op, right.value);
  attempt.steps.push_back({left.value, move.op, right.value, value});
  attempt.expression = left.text + move.op + right.text;
  attempt.value = value;
  items.erase(items.begin() + static_cast<int64_t>(std::max(move.left, move.right)));
  items.erase(items.begin() + static_cast<int64_t>(std::min(move.left, move.right)));
  items.push_back({value, "(" + attempt.expression + ")", true});
}

std::vector<Item> Table(const std::vector<int64_t>& numbers) {
  std::vector<Item> items;
  for (int64_t number : numbers) items.push_back({number, std::to_string(number)});
  return items;
}

// Depth first over all attempts, until visit returns true.
template <typename Visit>
bool Search(const CountdownLevel& level, const std::vector<Item>& items, const Attempt& attempt,
            const Visit& visit) {
  if (items.size() == 1) return visit(attempt);
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t j = i + 1; j < items.size(); ++j) {
      for (const Move& move : Moves(level, items, i, j)) {
        std::vector<Item> next_items = items;
        Attempt next = attempt;
        Play(move, next_items, next);
        if (Search(level, next_items, next, visit)) return true;
      }
    }
  }
  return false;
}

// An attempt with the target written beside its result, "3+5=8*7=56?24": whether they are equal is
// then a question about neighbours, which a model of a million parameters learns in a few million
// tokens. Against a target that stands only in the prompt it does not (docs/LOG.md).
std::string Compared(const std::string& steps, const Problem& problem) {
  return fmt::format("{}?{}", steps, problem.target);
}

class Countdown : public Task {
 public:
  std::string Name() const override { return "countdown"; }
  int Levels() const override { return kLevelCount; }
  std::string Help() const override {
    return "Use every given number exactly once, with + - * / and parentheses, to make the target. "
           "Think inside <think> and </think>, then give the expression inside <answer> and "
           "</answer>.";
  }

  // The numbers in any order are the same problem.
  std::string Key(const Problem& problem) const override {
    std::vector<int64_t> sorted = problem.numbers;
    std::sort(sorted.begin(), sorted.end());
    return fmt::format("{}={}", fmt::join(sorted, " "), problem.target);
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    return RandomAttempt(problem, random).expression;
  }

  std::string WorkedTrace(const Problem& problem, const TraceStyle& style,
                          RandomSequence& random) const override;

 protected:
  void Draw(int level_number, RandomSequence& random, Problem& problem) const override {
    const CountdownLevel& level = kLevels[level_number - 1];
    do {
      problem.numbers.clear();
      for (int i = 0; i < level.count; ++i) {
        problem.numbers.push_back(random.Between(1, level.max_number));
      }
      const Attempt solution = DrawSolution(level, problem, random);
      problem.target = solution.value;
      problem.answer = solution.expression;
    } while (problem.target > level.max_target);
    problem.prompt =
        fmt::format("make {} from {}\n", problem.target, fmt::join(problem.numbers, " "));
  }

  // Values that many attempts make would be drawn often, and make easy problems: where the attempts
  // are few enough to list, each value they make is equally likely.
  static Attempt DrawSolution(const CountdownLevel& level, const Problem& problem,
                              RandomSequence& random) {
    if (level.count > 3) return RandomAttempt(problem, random);
    std::map<int64_t, Attempt> by_value;
    for (Attempt& attempt : AllAttempts(problem)) by_value.emplace(attempt.value, attempt);
    return std::next(by_value.begin(), static_cast<int64_t>(random.Below(by_value.size())))->second;
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("用 + - * / 和括号写一个结果等于 {1} 的算式，{0} 这些数每个恰好用一次。",
                         fmt::join(problem.numbers, "、"), problem.target);
    return fmt::format(
        "Use each of the numbers {0} exactly once, with + - * / and parentheses, to write an "
        "expression that equals {1}.",
        fmt::join(problem.numbers, ", "), problem.target);
  }

  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override {
    const ParsedExpression parsed = ParseExpression(answer);
    why = parsed.why;
    if (!parsed.legal) return Verdict::kIllegal;
    std::vector<int64_t> used = parsed.numbers, given = problem.numbers;
    std::sort(used.begin(), used.end());
    std::sort(given.begin(), given.end());
    if (used != given) {
      why = fmt::format("uses {}, not each of {} once", fmt::join(parsed.numbers, " "),
                        fmt::join(problem.numbers, " "));
      return Verdict::kWrong;
    }
    if (!parsed.defined) return Verdict::kWrong;
    const bool right = parsed.value == Rational{problem.target, 1};
    why = right ? "right" : fmt::format("makes {}, not {}", ToString(parsed.value), problem.target);
    return right ? Verdict::kCorrect : Verdict::kWrong;
  }

  std::vector<std::string> Steps(const Problem& problem) const override {
    return {Compared(StepsText(FindSolution(problem).steps), problem) + " yes"};
  }
};

std::string Countdown::WorkedTrace(const Problem& problem, const TraceStyle& style,
                                   RandomSequence& random) const {
  const double give_up =
      style.give_up.empty() ? 0 : style.give_up[random.Below(style.give_up.size())];
  const bool straight = random.Uniform() < style.straight;
  const bool check = random.Uniform() < style.check;
  const bool ordered = !straight && random.Uniform() < style.ordered;
  const std::vector<Attempt> all = ordered ? AllAttempts(problem) : std::vector<Attempt>{};
  const size_t first = ordered ? random.Below(all.size()) : 0;
  std::set<std::string> tried;
  std::string thoughts;
  Attempt attempt;
  for (int count = 1; count <= style.max_attempts; ++count) {
    // Nearly all attempts made: drawing a new one takes long, and a person would stop too.
    constexpr int kMaxDraws = 400;
    int draws = 0;
    Attempt next;
    if (ordered && count > static_cast<int>(all.size())) break;
    do {
      next = ordered ? all[(first + static_cast<size_t>(count - 1)) % all.size()]
                     : RandomAttempt(problem, random);
    } while ((tried.contains(next.expression) || (straight && next.value != problem.target)) &&
             ++draws < kMaxDraws);
    if (draws == kMaxDraws && count > 1) break;
    attempt = std::move(next);
    tried.insert(attempt.expression);
    const std::string steps = StepsText(attempt.steps);
    if (random.Uniform() < style.slip) thoughts += Miswrite(steps, random) + " wait ";
    const std::string text = Compared(steps, problem);
    thoughts += text;
    if (attempt.value == problem.target) {
      if (check) thoughts += " check " + text;
      return Completion(thoughts + " yes", attempt.expression);
    }
    thoughts += "\n";
    if (random.Uniform() < give_up) break;
  }
  return Completion(thoughts, attempt.expression);
}

}  // namespace

const CountdownLevel& LevelOf(const Problem& problem) {
  CHECK(problem.level >= 1 && problem.level <= kLevelCount);
  return kLevels[problem.level - 1];
}

Attempt RandomAttempt(const Problem& problem, RandomSequence& random) {
  const CountdownLevel& level = LevelOf(problem);
  for (;;) {
    std::vector<Item> items = Table(problem.numbers);
    Attempt attempt;
    while (items.size() > 1) {
      const size_t i = random.Below(items.size());
      const size_t j = random.Below(items.size() - 1);
      const auto moves = Moves(level, items, i, j + (j >= i));
      if (moves.empty()) break;
      Play(moves[random.Below(moves.size())], items, attempt);
    }
    if (items.size() == 1) return attempt;
  }
}

Attempt FindSolution(const Problem& problem) {
  Attempt found;
  const bool any =
      Search(LevelOf(problem), Table(problem.numbers), {}, [&](const Attempt& attempt) {
        if (attempt.value != problem.target) return false;
        found = attempt;
        return true;
      });
  CHECK(any);
  return found;
}

std::vector<Attempt> AllAttempts(const Problem& problem) {
  std::vector<Attempt> all;
  std::set<std::string> seen;
  Search(LevelOf(problem), Table(problem.numbers), {}, [&](const Attempt& attempt) {
    if (seen.insert(attempt.expression).second) all.push_back(attempt);
    return false;
  });
  return all;
}

std::string StepsText(const std::vector<Step>& steps) {
  std::string text;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const bool chained = i > 0 && step.left == steps[i - 1].result;
    if (i > 0 && !chained) text += " ";
    if (!chained) text += std::to_string(step.left);
    text += fmt::format("{}{}={}", step.op, step.right, step.result);
  }
  return text;
}

std::unique_ptr<Task> MakeCountdown() { return std::make_unique<Countdown>(); }

}  // namespace darkhorse
