// A second verifier for every task, written from docs/tasks.md by other methods than the first: it
// reads the problem back from the prompt, judges syntax by regular expressions or shunting-yard,
// and values modulo a prime, by substitution or by brute force. Both must agree on 100,000 random
// candidates a task.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
// GCC 12 under sanitizers takes a member of std::regex for uninitialised.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <regex>
#include <sstream>

#include "task/task.h"

namespace darkhorse {
namespace {

enum class Opinion { kIllegal, kWrong, kRight };
Opinion RightIf(bool right) { return right ? Opinion::kRight : Opinion::kWrong; }

std::vector<int64_t> NumbersIn(const std::string& text) {
  std::vector<int64_t> numbers;
  static const std::regex kNumber("[0-9]+");
  for (std::sregex_iterator i(text.begin(), text.end(), kNumber), end; i != end; ++i) {
    numbers.push_back(std::stoll(i->str()));
  }
  return numbers;
}

bool IsInteger(const std::string& text) {
  static const std::regex kInteger("0|-?[1-9][0-9]{0,17}");
  return std::regex_match(text, kInteger);
}

Opinion Integer(const std::string& answer, int64_t right) {
  return IsInteger(answer) ? RightIf(std::stoll(answer) == right) : Opinion::kIllegal;
}

// Values modulo the prime 2^61 - 1: two different small rationals differ there too, and a division
// by zero stays one.
constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;
uint64_t Times(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(a) * b % kPrime);
}
uint64_t Inverse(uint64_t a) {
  uint64_t result = 1;
  for (uint64_t e = kPrime - 2; e > 0; e >>= 1, a = Times(a, a)) {
    if (e & 1) result = Times(result, a);
  }
  return result;
}

struct Yard {
  std::vector<uint64_t> values;
  std::vector<char> ops;
  bool defined = true;

  static int Rank(char op) { return op == '(' ? 0 : op == '+' || op == '-' ? 1 : 2; }
  void Reduce() {
    const uint64_t b = values.back();
    values.pop_back();
    uint64_t& a = values.back();
    switch (ops.back()) {
      case '+':
        a = (a + b) % kPrime;
        break;
      case '-':
        a = (a + kPrime - b) % kPrime;
        break;
      case '*':
        a = Times(a, b);
        break;
      default:
        if (b == 0) defined = false;
        a = Times(a, Inverse(b));
    }
    ops.pop_back();
  }
};

Opinion Countdown(const std::string& answer, const std::string& prompt) {
  std::vector<int64_t> given = NumbersIn(prompt);
  const int64_t target = given[0];
  given.erase(given.begin());
  Yard yard;
  bool want_operand = true;
  std::vector<int64_t> used;
  for (size_t i = 0; i < answer.size();) {
    const char c = answer[i];
    if (c == ' ') {
      ++i;
    } else if (isdigit(static_cast<unsigned char>(c))) {
      size_t length = 0;
      const int64_t value = std::stoll(answer.substr(i, 12), &length);
      if (!want_operand || length > 9 || (c == '0' && length > 1)) return Opinion::kIllegal;
      used.push_back(value);
      yard.values.push_back(static_cast<uint64_t>(value));
      want_operand = false;
      i += length;
    } else if (c == '(') {
      if (!want_operand) return Opinion::kIllegal;
      yard.ops.push_back(c);
      ++i;
    } else if (c == ')') {
      if (want_operand) return Opinion::kIllegal;
      while (!yard.ops.empty() && yard.ops.back() != '(') yard.Reduce();
      if (yard.ops.empty()) return Opinion::kIllegal;
      yard.ops.pop_back();
      ++i;
    } else if (c != '\0' && std::string("+-*/").find(c) != std::string::npos) {
      if (want_operand) return Opinion::kIllegal;
      while (!yard.ops.empty() && Yard::Rank(yard.ops.back()) >= Yard::Rank(c)) yard.Reduce();
      yard.ops.push_back(c);
      want_operand = true;
      ++i;
    } else {
      return Opinion::kIllegal;
    }
  }
  if (want_operand) return Opinion::kIllegal;
  while (!yard.ops.empty()) {
    if (yard.ops.back() == '(') return Opinion::kIllegal;
    yard.Reduce();
  }
  return RightIf(std::is_permutation(used.begin(), used.end(), given.begin(), given.end()) &&
                 yard.defined && yard.values[0] == static_cast<uint64_t>(target));
}

Opinion Sum(const std::string& answer, const std::string& prompt) {
  int64_t sum = 0;
  static const std::regex kTerm("[-+]?[0-9]+");
  for (std::sregex_iterator i(prompt.begin(), prompt.end(), kTerm), end; i != end; ++i) {
    sum += std::stoll(i->str());
  }
  return Integer(answer, sum);
}

Opinion Multiply(const std::string& answer, const std::string& prompt) {
  const auto n = NumbersIn(prompt);
  int64_t product = 0;
  for (int64_t i = 0; i < n[0]; ++i) product += n[1];
  return Integer(answer, product);
}

// The value of one side of an equation at x = p/q, times q.
int64_t SideAt(const std::string& side, int64_t p, int64_t q) {
  __extension__ using Wide = __int128;
  Wide sum = 0;
  static const std::regex kTerm("([-+]?[0-9]+)(x?)");
  for (std::sregex_iterator i(side.begin(), side.end(), kTerm), end; i != end; ++i) {
    sum += static_cast<Wide>(std::stoll((*i)[1])) * ((*i)[2].length() > 0 ? p : q);
  }
  // Compared only for equality; the prime keeps it in 64 bits.
  const Wide prime = kPrime;
  return static_cast<int64_t>((sum % prime + prime) % prime);
}

Opinion Solve(const std::string& answer, const std::string& prompt) {
  static const std::regex kAnswer(
      "(x\\s*=\\s*)?(0|-?[1-9][0-9]{0,17})(\\s*/\\s*([1-9][0-9]{0,17}))?");
  std::smatch match;
  if (!std::regex_match(answer, match, kAnswer)) return Opinion::kIllegal;
  const int64_t p = std::stoll(match[2]), q = match[4].matched ? std::stoll(match[4]) : 1;
  const std::string equation = prompt.substr(6);
  const size_t equals = equation.find('=');
  return RightIf(SideAt(equation.substr(0, equals), p, q) == SideAt(equation.substr(equals), p, q));
}

Opinion Gcd(const std::string& answer, const std::string& prompt) {
  const auto n = NumbersIn(prompt);
  int64_t divisor = std::min(n[0], n[1]);
  while (n[0] % divisor != 0 || n[1] % divisor != 0) --divisor;
  return Integer(answer, divisor);
}

Opinion Base(const std::string& answer, const std::string& prompt) {
  std::istringstream in(prompt.substr(5));
  int from, to;
  std::string word, digits;
  in >> from >> word >> to >> digits;
  static const std::regex kDigits("0|[1-9a-fA-F][0-9a-fA-F]{0,31}");
  if (!std::regex_match(answer, kDigits)) return Opinion::kIllegal;
  size_t read = 0;
  int64_t value = -1;
  try {
    value = std::stoll(answer, &read, to);
  } catch (const std::out_of_range&) {  // more than 63 bits: wrong, if the digits are of the base
    read = answer.size();
    for (char c : answer) {
      try {
        std::stoi(std::string(1, c), nullptr, to);
      } catch (const std::invalid_argument&) {
        read = 0;
      }
    }
  } catch (const std::invalid_argument&) {
    return Opinion::kIllegal;
  }
  if (read != answer.size()) return Opinion::kIllegal;
  return RightIf(value == std::stoll(digits, nullptr, from));
}

Opinion Sort(const std::string& answer, const std::string& prompt) {
  std::istringstream in(answer);
  std::vector<int64_t> list;
  for (std::string word; std::getline(in, word, ' ');) {
    if (word.empty()) continue;
    if (!IsInteger(word)) return Opinion::kIllegal;
    list.push_back(std::stoll(word));
  }
  if (list.empty()) return Opinion::kIllegal;
  const auto given = NumbersIn(prompt);
  std::map<int64_t, int> count;
  for (int64_t n : given) ++count[n];
  for (int64_t n : list) --count[n];
  const bool same = std::all_of(count.begin(), count.end(), [](auto& c) { return c.second == 0; });
  return RightIf(same && std::is_sorted(list.begin(), list.end()));
}

Opinion Parity(const std::string& answer, const std::string& prompt) {
  if (answer != "odd" && answer != "even") return Opinion::kIllegal;
  bool odd = false;
  for (char c : prompt) odd ^= c == '1';
  return RightIf((answer == "odd") == odd);
}

Opinion Largest(const std::string& answer, const std::string& prompt) {
  const auto n = NumbersIn(prompt);
  return Integer(answer, *std::max_element(n.begin(), n.end()));
}

Opinion Count(const std::string& answer, const std::string& prompt) {
  std::istringstream in(prompt);
  std::string counted;
  in >> counted >> counted;
  int64_t count = 0;
  for (std::string word; in >> word;) count += word == counted;
  return Integer(answer, count);
}

Opinion PlusMinus(const std::string& answer, const std::string& prompt) {
  const auto n = NumbersIn(prompt);
  return Integer(answer, n[0] + n[1] - n[2]);
}

void Replace(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at)) {
    text.replace(at, from.size(), to);
  }
}

using Reference = std::function<Opinion(const std::string&, const std::string&)>;

// The reward, from the markup down. Tags become the control characters 1 to 4, which no candidate
// holds.
double ReferenceValue(std::string text, const std::string& prompt, const Reference& judge) {
  Replace(text, "<think>", "\1");
  Replace(text, "</think>", "\2");
  Replace(text, "<answer>", "\3");
  Replace(text, "</answer>", "\4");
  static const std::regex kShape(
      "([^\1-\4]*)\1[^\1-\4]*\2([^\1-\4]*\3[^\1-\4]*\4)*"
      "([^\1-\4]*)\3([^\1-\4]*)\4([^\1-\4]*)");
  std::smatch match;
  if (!std::regex_match(text, match, kShape)) return 0;
  const auto blank = [](const std::string& s) {
    return s.find_first_not_of(" \t\r\n\v\f") == s.npos;
  };
  if (!blank(match[1])) return 0;
  std::string answer = match[4];
  while (!answer.empty() && isspace(static_cast<unsigned char>(answer.back()))) answer.pop_back();
  while (!answer.empty() && isspace(static_cast<unsigned char>(answer[0]))) answer.erase(0, 1);
  const Opinion opinion = judge(answer, prompt);
  if (opinion == Opinion::kRight) return 1;
  const bool tidy = !match[2].matched && blank(match[3]) && blank(match[5]);
  return opinion == Opinion::kWrong && tidy ? 0.1 : 0;
}

const std::map<std::string, Reference>& References() {
  static const std::map<std::string, Reference> kReferences = {
      {"countdown", Countdown}, {"sum", Sum},       {"multiply", Multiply},
      {"solve", Solve},         {"gcd", Gcd},       {"base", Base},
      {"sort", Sort},           {"parity", Parity}, {"times", Multiply},
      {"largest", Largest},     {"count", Count},   {"plusminus", PlusMinus}};
  return kReferences;
}

// The numbers of a countdown in random order with random operators and parentheses; often fractions
// on the way.
std::string RandomExpression(const std::vector<int64_t>& numbers, RandomSequence& random) {
  std::vector<std::string> items;
  for (int64_t number : numbers) items.push_back(std::to_string(number));
  while (items.size() > 1) {
    std::swap(items[random.Below(items.size())], items.back());
    const std::string right = items.back();
    items.pop_back();
    const size_t at = random.Below(items.size());
    items[at] += std::string(1, "+-*/"[random.Below(4)]) + right;
    if (random.Below(2) == 0) items[at] = "(" + items[at] + ")";
  }
  return items[0];
}

void Mutate(std::string& text, const std::string& alphabet, RandomSequence& random) {
  const size_t at = random.Below(text.size() + 1);
  switch (random.Below(3)) {
    case 0:
      text.insert(at, 1, alphabet[random.Below(alphabet.size())]);
      break;
    case 1:
      if (at < text.size()) text[at] = alphabet[random.Below(alphabet.size())];
      break;
    default:
      if (at < text.size()) text.erase(at, 1);
  }
}

std::string Candidate(const Task& task, const Problem& problem, RandomSequence& random) {
  std::string answer;
  switch (random.Below(4)) {
    case 0:
      answer = problem.answer;
      break;
    case 1:
      answer = task.Guess(problem, random);
      break;
    case 2:
      answer = problem.task == "countdown" ? RandomExpression(problem.numbers, random)
                                           : std::to_string(random.Between(-99, 99));
      break;
    default:
      answer = problem.answer;
      Mutate(answer, "0123456789+-*/() x=,.abfF\n", random);
      Mutate(answer, "0123456789+-*/() x=,.abfF\n", random);
  }
  if (random.Below(4) == 0) Mutate(answer, "0123456789+-*/() x=^_", random);
  std::string text = "<think>12</think>";
  if (random.Below(8) == 0) text += "<answer>" + task.Guess(problem, random) + "</answer>";
  text += "<answer>" + answer + "</answer>";
  if (random.Below(8) == 0) {
    constexpr const char* kPieces[] = {"<think>", "</think>", "<answer>", "</answer>",
                                       " ",       "<",        "x"};
    text.insert(random.Below(text.size() + 1), kPieces[random.Below(std::size(kPieces))]);
  }
  if (random.Below(8) == 0) Mutate(text, "<>/ aehiknrstw", random);
  return text;
}

class VerifierTest : public testing::TestWithParam<std::string> {};

TEST_P(VerifierTest, AgreesWithTheReferenceOn100000Candidates) {
  const Task& task = FindTask(GetParam());
  const Reference& judge = References().at(GetParam());
  constexpr uint64_t kProblems = 1000, kCandidates = 100;
  std::map<double, int> seen;
  for (uint64_t i = 0; i < kProblems; ++i) {
    const Problem problem = task.Make(5, i, 1 + static_cast<int>(i) % task.Levels());
    for (uint64_t j = 0; j < kCandidates; ++j) {
      RandomSequence random(6, RandomStream::kTest, i * kCandidates + j);
      const std::string text = Candidate(task, problem, random);
      const double value = task.ScoreCompletion(text, problem).value;
      ASSERT_EQ(value, ReferenceValue(text, problem.prompt, judge)) << problem.prompt << text;
      ++seen[value];
    }
  }
  // The candidates must exercise all three outcomes, or the agreement says little.
  for (double value : {0.0, 0.1, 1.0}) EXPECT_GT(seen[value], 2000) << value;
}

INSTANTIATE_TEST_SUITE_P(Tasks, VerifierTest, testing::ValuesIn(TaskNames()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace darkhorse
