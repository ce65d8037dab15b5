#include "task/unit.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

// By UnitWord's words.
constexpr std::pair<std::string_view, std::string_view> kCurrencyWords[] = {
    {"dollar", "$"}, {"buck", "$"}, {"usd", "$"}, {"euro", "€"}, {"eur", "€"},
    {"pound", "£"},  {"gbp", "£"},  {"yen", "¥"}, {"jpy", "¥"},
};

// Words behind a number that make another number of it, or another statement; of a family of such
// words the ending.
constexpr std::string_view kNoUnit[] = {
    "zero",      "zeroe",     "one",        "two",        "three",      "four",       "five",
    "six",       "seven",     "eight",      "nine",       "ten",        "eleven",     "twelve",
    "thirteen",  "fourteen",  "fifteen",    "sixteen",    "seventeen",  "eighteen",   "nineteen",
    "twenty",    "thirty",    "forty",      "fifty",      "sixty",      "seventy",    "eighty",
    "ninety",    "hundred",   "thousand",   "thou",       "lakh",       "lac",        "crore",
    "myriad",    "googol",    "dozen",      "score",      "gross",      "grand",      "half",
    "halve",     "halved",    "first",      "third",      "quarter",    "fourth",     "fifth",
    "sixth",     "seventh",   "eighth",     "ninth",      "tenth",      "eleventh",   "twelfth",
    "percent",   "hundredth", "thousandth", "percentage", "percentile", "pct",        "permil",
    "permille",  "mille",     "ppm",        "ppb",        "basis",      "bp",         "mn",
    "bn",        "tn",        "mln",        "bln",        "mil",        "mio",        "mrd",
    "pi",        "infinity",  "inf",        "squared",    "cubed",      "factorial",  "mod",
    "plus",      "minus",     "time",       "over",       "divided",    "multiplied", "double",
    "doubled",   "doubling",  "triple",     "tripled",    "tripling",   "twice",      "thrice",
    "or",        "and",       "to",         "no",         "none",       "not",        "nor",
    "never",     "but",       "th",         "st",         "nd",         "rd",         "root",
    "sqrt",      "log",       "ln",         "sin",        "cos",        "tan",        "exp",
    "remainder", "negative",
};
constexpr std::string_view kNoUnitEndings[] = {
    "illion", "illionth", "illiard", "teenth", "tieth", "uple", "upled", "fold",
};
constexpr std::string_view kLetterUnits = "mgshdlLAVWNJCF";

// Units that may stand right behind the digits or a slash, by UnitWord's words without ² and ³.
// Any other word there, as in 5xy and 12/ab, may be a product of variables.
constexpr std::string_view kCloseUnits[] = {
    "m",      "km",   "cm",    "mm",    "µm", "μm",    "nm",    "mi",     "mile",
    "ft",     "feet", "in",    "inch",  "yd", "meter", "metre", "ha",     "g",
    "kg",     "mg",   "µg",    "μg",    "lb", "oz",    "gram",  "l",      "ml",
    "cl",     "dl",   "liter", "litre", "s",  "ms",    "sec",   "second", "min",
    "minute", "h",    "hr",    "hour",  "d",  "day",   "week",  "wk",     "month",
    "yr",     "year", "mph",   "kph",   "hz", "khz",   "mhz",   "ghz",    "kw",
    "kwh",    "kj",   "cal",   "kcal",  "°",  "°c",    "°f",    "deg",    "rad",
    "Ω",      "kΩ",   "kb",    "mb",    "gb", "tb",    "px",    "cent",   "person",
};

bool Among(const auto& words, std::string_view word) {
  return std::ranges::find(words, word) != std::end(words);
}

bool IsNoUnit(std::string_view word) {
  return Among(kNoUnit, word) ||
         std::ranges::any_of(kNoUnitEndings, [&](auto end) { return word.ends_with(end); });
}

// One word of a unit in lower case without a plural's ending; "" if it can be none. "box" and
// "boxes" have one form, "house" and "houses" too, though that is no word: "hou".
std::string UnitWord(std::string_view word) {
  if (word.size() == 1 && kLetterUnits.find(word[0]) == word.npos) return "";
  std::string stem = LowerAscii(word);
  if (IsNoUnit(stem)) return "";
  const auto drop_s = [&] {  // "ms" is not "m"
    if (stem.size() > 2 && stem.ends_with('s') && !stem.ends_with("ss")) stem.pop_back();
  };
  drop_s();
  if (IsNoUnit(stem)) return "";
  if (std::ranges::any_of(std::array{"xe", "se", "ze", "che", "she"},
                          [&](auto end) { return stem.ends_with(end); })) {
    stem.pop_back();
    if (IsNoUnit(stem)) return "";  // of "sixes"
    drop_s();                       // and here no more: "noses" are not "no"
  }
  return stem;
}

// Bytes of the unit's character at `at`: an ASCII letter, a Latin one, °, µ or Ω; behind a letter
// also ² and ³. 0: none.
size_t UnitCharacter(std::string_view text, size_t at, bool first) {
  if (IsAsciiLetter(text[at])) return 1;
  const std::string_view two = text.substr(at, 2);
  if (two.size() < 2) return 0;
  if (two == "°" || two == "µ" || two == "μ" || two == "Ω") return 2;
  if (two == "²" || two == "³") return first ? 0 : 2;
  if (two == "×" || two == "÷") return 0;
  const auto byte = static_cast<unsigned char>(two[0]);
  return byte >= 0xC3 && byte <= 0xC8 ? 2 : 0;
}

}  // namespace

std::string_view FirstUnitWord(std::string_view text) {
  size_t end = 0;
  while (end < text.size()) {
    const size_t bytes = UnitCharacter(text, end, end == 0);
    if (bytes == 0) break;
    end += bytes;
  }
  return text.substr(0, end);
}

std::string_view CurrencyOf(std::string_view word) {
  const std::string name = UnitWord(word);
  for (const auto& [currency, sign] : kCurrencyWords) {
    if (name == currency) return sign;
  }
  return "";
}

bool BeginsWithCloseUnit(std::string_view text) {
  std::string_view word = FirstUnitWord(text);
  if (!CurrencyOf(word).empty()) return true;
  while (word.ends_with("²") || word.ends_with("³")) word.remove_suffix(2);
  return Among(kCloseUnits, UnitWord(word));
}

std::optional<std::string> UnitOf(std::string_view text) {
  constexpr int kMaxWords = 4;
  std::string unit;
  if (text.starts_with('/')) {
    unit = "/";
    text = TrimAscii(text.substr(1));
  }
  for (int words = 0; words < kMaxWords; ++words) {
    const std::string_view written = FirstUnitWord(text);
    const std::string word = UnitWord(written);
    if (word.empty()) return std::nullopt;
    unit += word;
    text.remove_prefix(written.size());
    if (text.starts_with(". ")) text.remove_prefix(1);
    if (text.empty()) return unit;
    if (text[0] != ' ' && text[0] != '/' && text[0] != '-') return std::nullopt;
    unit += text[0];
    text.remove_prefix(1);
  }
  return std::nullopt;
}

}  // namespace darkhorse
