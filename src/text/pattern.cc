#include "text/pattern.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

constexpr char32_t kLast = 0x10FFFF;
constexpr int32_t kMostRepeats = 1000;
constexpr int kMostNested = 100;

CharacterSet Sorted(CharacterSet set) {
  std::sort(set.begin(), set.end());
  CharacterSet merged;
  for (const auto& [low, high] : set) {
    if (!merged.empty() && low <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, high);
    } else {
      merged.emplace_back(low, high);
    }
  }
  return merged;
}

CharacterSet AllBut(const CharacterSet& set) {
  CharacterSet others;
  char32_t next = 0;
  for (const auto& [low, high] : set) {
    if (low > next) others.emplace_back(next, low - 1);
    next = high + 1;
  }
  if (next <= kLast) others.emplace_back(next, kLast);
  return others;
}

std::u32string CodePoints(std::string_view text) {
  std::u32string points;
  for (size_t at = 0; at < text.size();) points.push_back(NextUtf8(text, &at));
  return points;
}

const CharacterSet kDigits = {{'0', '9'}};
const CharacterSet kWordSigns = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharacterSet kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
const CharacterSet kSpaces = {
    {'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};

// The set that \d and the like name.
std::optional<CharacterSet> ClassNamed(char32_t sign) {
  switch (sign) {
    case 'd':
      return kDigits;
    case 'D':
      return AllBut(kDigits);
    case 'w':
      return kWordSigns;
    case 'W':
      return AllBut(kWordSigns);
    case 's':
      return kSpaces;
    case 'S':
      return AllBut(kSpaces);
    default:
      return std::nullopt;
  }
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(CodePoints(pattern)) {}

  std::vector<PatternWay> Ways() {
    std::vector<PatternWay> ways;
    do {
      PatternWay way;
      while (Takes('^')) way.from_start = true;
      way.what = Sequence(&way.to_end);
      ways.push_back(std::move(way));
    } while (Takes('|'));
    if (!AtEnd()) Refuse("a ')' without a '('");
    return ways;
  }

 private:
  bool AtEnd() const { return at_ == text_.size(); }
  char32_t Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : 0;
  }
  bool Takes(char32_t sign) {
    if (AtEnd() || text_[at_] != sign) return false;
    ++at_;
    return true;
  }
  char32_t Next(const char* what) {
    if (AtEnd()) Refuse(what);
    return text_[at_++];
  }
  [[noreturn]] void Refuse(const std::string& what) const {
    Fail("has {} at character {}, which is not supported", what, at_ + 1);
  }

  // to_end: set where it ends with '$'; null where it may not.
  Pattern Sequence(bool* to_end) {
    Pattern all;
    while (!AtEnd() && Peek() != '|' && Peek() != ')') {
      if (Peek() == '$') {
        if (!to_end || (at_ + 1 < text_.size() && Peek(1) != '|'))
          Refuse("a '$' elsewhere than at the end");
        ++at_;
        *to_end = true;
        break;
      }
      all.parts.push_back(Repeated(Atom()));
    }
    return all;
  }

  Pattern Choice() {
    Pattern choice{.kind = Pattern::Kind::kChoice, .set = {}, .parts = {}};
    do {
      choice.parts.push_back(Sequence(nullptr));
    } while (Takes('|'));
    return choice;
  }

  Pattern Atom() {
    const char32_t sign = Next("nothing");
    switch (sign) {
      case '(':
        return Group();
      case '[':
        return Set(Class());
      case '.':
        return Set(AllBut(kLineEnds));
      case '^':
        --at_;
        Refuse("a '^' elsewhere than at the beginning");
      case '*':
      case '+':
      case '?':
        --at_;
        Refuse("a repetition of nothing");
      case '\\':
        return Set(Escape(/*in_class=*/false));
      default:
        return Set({{sign, sign}});
    }
  }

  static Pattern Set(CharacterSet set) {
    return {.kind = Pattern::Kind::kSet, .set = std::move(set), .parts = {}};
  }

  Pattern Group() {
    if (++nested_ > kMostNested) Refuse("groups nested so deep");
    if (Takes('?')) {
      if (Takes('<') && Peek() != '=' && Peek() != '!') {
        while (Next("a group's name without an end") != '>') {
        }
      } else if (!Takes(':')) {
        Refuse("a look-around");
      }
    }
    Pattern choice = Choice();
    if (!Takes(')')) Refuse("no ')' to a '('");
    --nested_;
    return choice;
  }

  Pattern Repeated(Pattern one) {
    for (;;) {
      int32_t least = 0, most = Pattern::kUnbounded;
      if (Takes('*')) {
      } else if (Takes('+')) {
        least = 1;
      } else if (Takes('?')) {
        most = 1;
      } else if (!Counts(&least, &most)) {
        return one;
      }
      Takes('?');  // as few as do: what matches is the same
      Pattern repeat{.kind = Pattern::Kind::kRepeat, .set = {}, .parts = {}};
      repeat.parts.push_back(std::move(one));
      repeat.least = least;
      repeat.most = most;
      if (Peek() == '*' || Peek() == '+' || Peek() == '?') Refuse("a repetition of a repetition");
      return repeat;
    }
  }

  // {m}, {m,} or {m,n}; a brace that is none of them stands for itself.
  bool Counts(int32_t* least, int32_t* most) {
    const size_t begin = at_;
    const auto number = [&]() -> std::optional<int32_t> {
      if (Peek() < '0' || Peek() > '9') return std::nullopt;
      int64_t value = 0;
      while (Peek() >= '0' && Peek() <= '9')
        value = std::min<int64_t>(value * 10 + (text_[at_++] - '0'), kMostRepeats + 1);
      if (value > kMostRepeats) Refuse(fmt::format("over {} repetitions", kMostRepeats));
      return static_cast<int32_t>(value);
    };
    if (Takes('{')) {
      if (const auto low = number()) {
        *least = *most = *low;
        if (Takes(',')) *most = number().value_or(Pattern::kUnbounded);
        if (Takes('}')) {
          if (*most != Pattern::kUnbounded && *most < *least)
            Refuse("fewer repetitions at most than at least");
          return true;
        }
      }
    }
    at_ = begin;
    return false;
  }

  // What stands behind a '['.
  CharacterSet Class() {
    const bool others = Takes('^');
    CharacterSet set;
    while (!Takes(']')) {
      const auto one = [&]() -> CharacterSet {
        const char32_t sign = Next("no ']' to a '['");
        return sign == '\\' ? Escape(/*in_class=*/true) : CharacterSet{{sign, sign}};
      };
      CharacterSet first = one();
      if (Peek() == '-' && Peek(1) != ']' && at_ + 1 < text_.size()) {
        ++at_;
        const CharacterSet last = one();
        const auto single = [](const CharacterSet& s) {
          return s.size() == 1 && s[0].first == s[0].second;
        };
        if (!single(first) || !single(last) || first[0].first > last[0].first)
          Refuse("a range that is none");
        first = {{first[0].first, last[0].first}};
      }
      set.insert(set.end(), first.begin(), first.end());
    }
    set = Sorted(std::move(set));
    return others ? AllBut(set) : set;
  }

  // What stands behind a backslash.
  CharacterSet Escape(bool in_class) {
    const char32_t sign = Next("a '\\' at the end");
    if (auto named = ClassNamed(sign)) return *std::move(named);
    const auto one = [](char32_t c) { return CharacterSet{{c, c}}; };
    static constexpr std::pair<char32_t, char32_t> kControls[] = {
        {'t', '\t'}, {'n', '\n'}, {'r', '\r'}, {'v', '\v'}, {'f', '\f'}};
    for (const auto& [name, control] : kControls) {
      if (sign == name) return one(control);
    }
    if (sign == 'x') return one(Hex(2));
    if (sign == 'u') return one(Unicode());
    if (sign == 'b' && in_class) return one('\b');
    if (sign == '0' && (Peek() < '0' || Peek() > '9')) return one(0);
    const bool letter = (sign >= 'a' && sign <= 'z') || (sign >= 'A' && sign <= 'Z');
    const bool digit = sign >= '0' && sign <= '9';
    if (!letter && !digit) return one(sign);
    --at_;
    Refuse(digit && !in_class ? "a back reference"
                              : fmt::format("'\\{}'", static_cast<char>(sign)));
  }

  char32_t Hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t sign = Next("an escape without its digits");
      const std::string_view known = "0123456789abcdef";
      const char32_t lower = sign >= 'A' && sign <= 'F' ? sign + ('a' - 'A') : sign;
      const size_t digit = lower < 128 ? known.find(static_cast<char>(lower)) : known.npos;
      if (digit == known.npos) Refuse("an escape without its digits");
      value = value * 16 + static_cast<char32_t>(digit);
    }
    return value;
  }

  // Behind \u: four digits, twice where they are surrogates; or any number of them in braces.
  char32_t Unicode() {
    if (Takes('{')) {
      char32_t value = 0;
      do {
        value = value * 16 + Hex(1);
        if (value > kLast) Refuse("a character beyond Unicode");
      } while (!Takes('}'));
      return value;
    }
    const char32_t first = Hex(4);
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first < 0xDC00 && Takes('\\') && Takes('u')) {
      const char32_t second = Hex(4);
      if (second >= 0xDC00 && second <= 0xDFFF)
        return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }
    Refuse("half a surrogate pair");
  }

  const std::u32string text_;
  size_t at_ = 0;
  int nested_ = 0;
};

}  // namespace

std::vector<PatternWay> ParsePattern(std::string_view pattern) { return Parser(pattern).Ways(); }

}  // namespace darkhorse
