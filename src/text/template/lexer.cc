#include "text/template/lexer.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>

#include "base/utf8.h"
#include "text/template/characters.h"

namespace darkhorse::jinja {

namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A letter, digit or mark of any script, or '_': what an identifier is made of.
bool IsNamePart(char32_t c) {
  if (c < 0x80)
    return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
      return true;
    default:
      return false;
  }
}

// Every line ends in "\n", and the last one's is dropped.
std::string NormalizedSource(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(NormalizedSource(source)) {}

  std::vector<Token> Run() {
    if (!IsValidUtf8(source_)) Fault("the template is not valid UTF-8");
    while (at_ < source_.size()) Root();
    Add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void Fault(const std::string& what) { Fail("line {}: {}", line_, what); }

  bool At(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  void Add(Token::Kind kind, std::string text) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  // Moves to `end`, counting lines.
  void MoveTo(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    line_starts_ = end > 0 && source_[end - 1] == '\n';
    at_ = end;
  }
  void Move(size_t count) { MoveTo(at_ + count); }

  size_t BehindSpace(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!IsSpace(NextUtf8(source_, &next))) break;
      at = next;
    }
    return at;
  }

  // The text before a tag at `tag` whose white space control is `sign`, as data.
  void AddData(size_t tag, char sign, bool is_variable) {
    std::string text = source_.substr(at_, tag - at_);
    size_t keep = text.size();
    if (sign == '-') {
      while (keep > 0) {
        size_t before = keep;
        if (!IsSpace(PreviousUtf8(text, &before))) break;
        keep = before;
      }
    } else if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string::npos ? 0 : newline + 1;
      if (line > 0 || line_starts_) {
        size_t space = line;
        while (space < text.size()) {
          size_t next = space;
          if (!IsSpace(NextUtf8(text, &next))) break;
          space = next;
        }
        if (space == text.size()) keep = line;
      }
    }
    text.resize(keep);
    if (!text.empty()) Add(Token::Kind::kData, std::move(text));
    MoveTo(tag);
  }

  static char SignOf(char c) { return c == '-' || c == '+' ? c : '\0'; }

  // Text up to the next tag, and that tag.
  void Root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        Add(Token::Kind::kData, source_.substr(at_));
        return MoveTo(source_.size());
      }
      const char second = source_[tag + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++tag;
    }
    const char second = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? SignOf(source_[tag + 2]) : '\0';
    const size_t raw = second == '%' ? RawBegin(tag) : 0;
    AddData(tag, sign, second == '{');
    if (raw != 0) {
      MoveTo(raw);
      return Raw();
    }
    const size_t start = 2 + (sign != '\0' ? 1 : 0);
    if (second == '#') {
      Move(start);
      return Comment();
    }
    const bool block = second == '%';
    Add(block ? Token::Kind::kBlockBegin : Token::Kind::kVariableBegin, "");
    Move(start);
    Inside(block);
  }

  // Behind `{% raw %}` if that stands at `tag`, else 0.
  size_t RawBegin(size_t tag) const {
    size_t at = tag + 2;
    if (at < source_.size() && SignOf(source_[at]) != '\0') ++at;
    at = BehindSpace(at);
    if (source_.compare(at, 3, "raw") != 0) return 0;
    at = BehindSpace(at + 3);
    if (source_.compare(at, 3, "-%}") == 0) return BehindSpace(at + 3);
    return source_.compare(at, 2, "%}") == 0 ? at + 2 : 0;
  }

  // Behind the end of a tag `close` at `at`, with what its white space control takes along; 0 if
  // the tag does not end there.
  size_t TagEnd(size_t at, std::string_view close) const {
    const char sign = at < source_.size() ? SignOf(source_[at]) : '\0';
    const size_t start = at + (sign != '\0' ? 1 : 0);
    if (source_.compare(start, 2, close) != 0) return 0;
    if (sign == '-') return BehindSpace(start + 2);
    const bool newline = sign == '\0' && start + 2 < source_.size() && source_[start + 2] == '\n';
    return start + 2 + (newline ? 1 : 0);
  }

  void Comment() {
    for (size_t at = at_; at < source_.size(); ++at) {
      if (const size_t end = TagEnd(at, "#}")) return MoveTo(end);
    }
    Fault("a comment has no end: #}");
  }

  void Raw() {
    for (size_t at = source_.find("{%", at_); at != std::string::npos;
         at = source_.find("{%", at + 1)) {
      size_t word = at + 2;
      const char sign = word < source_.size() ? SignOf(source_[word]) : '\0';
      word = BehindSpace(word + (sign != '\0' ? 1 : 0));
      if (source_.compare(word, 6, "endraw") != 0) continue;
      const size_t end = TagEnd(BehindSpace(word + 6), "%}");
      if (end == 0) continue;
      AddData(at, sign, /*is_variable=*/false);
      return MoveTo(end);
    }
    Fault("a raw block has no end: {% endraw %}");
  }

  // The tokens of a tag, up to its end.
  void Inside(bool block) {
    std::string open;  // the brackets that wait to be closed
    while (true) {
      MoveTo(BehindSpace(at_));
      if (at_ >= source_.size()) return;  // the parser says what is missing
      if (open.empty()) {
        size_t end = 0;
        if (block) {
          end = TagEnd(at_, "%}");
        } else if (At("}}")) {
          end = at_ + 2;
        } else if (At("-}}")) {
          end = BehindSpace(at_ + 3);
        }
        if (end != 0) {
          Add(block ? Token::Kind::kBlockEnd : Token::Kind::kVariableEnd, "");
          return MoveTo(end);
        }
      }
      OneToken(&open);
    }
  }

  void OneToken(std::string* open) {
    const char c = Peek();
    if (IsDigit(c)) return Number();
    if (c == '\'' || c == '"') return String(c);
    size_t end = at_;
    if (IsNamePart(NextUtf8(source_, &end))) {
      for (size_t next = end; next < source_.size() && IsNamePart(NextUtf8(source_, &next));) {
        end = next;
      }
      Add(Token::Kind::kName, source_.substr(at_, end - at_));
      return MoveTo(end);
    }
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view op : kOperators) {
      if (!At(op)) continue;
      Add(Token::Kind::kOperator, std::string(op));
      return Move(op.size());
    }
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos) {
      Fault("unexpected character '" + Printable(source_.substr(at_, end - at_)) + "'");
    }
    if (c == '(' || c == '[' || c == '{') {
      *open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open->empty()) Fault(std::string("unexpected '") + c + "'");
      if (open->back() != c) {
        Fault(std::string("unexpected '") + c + "', expected '" + open->back() + "'");
      }
      open->pop_back();
    }
    Add(Token::Kind::kOperator, std::string(1, c));
    Move(1);
  }

  // Digits with single underscores between them, from `at`; the end, or `at` if there are none.
  template <typename IsOne>
  size_t BehindDigits(size_t at, const IsOne& is_one) const {
    const auto one = [&](size_t i) { return i < source_.size() && is_one(source_[i]); };
    if (!one(at)) return at;
    while (one(at) || (at < source_.size() && source_[at] == '_' && one(at + 1))) ++at;
    return at;
  }

  void Number() {
    size_t end = BehindDigits(at_, IsDigit);
    const bool behind_dot = at_ > 0 && source_[at_ - 1] == '.';
    size_t real = end;
    if (real < source_.size() && source_[real] == '.') {
      const size_t fraction = BehindDigits(real + 1, IsDigit);
      if (fraction > real + 1) real = fraction;
    }
    if (real < source_.size() && (source_[real] | 0x20) == 'e') {
      size_t power = real + 1;
      if (power < source_.size() && SignOf(source_[power]) != '\0') ++power;
      const size_t behind = BehindDigits(power, IsDigit);
      if (behind > power) real = behind;
    }
    if (real > end && !behind_dot) {
      std::string digits = source_.substr(at_, real - at_);
      std::erase(digits, '_');
      Add(Token::Kind::kFloat, "");
      const auto read =
          std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().number);
      if (read.ec == std::errc::result_out_of_range) Fault(digits + " is beyond a float");
      return MoveTo(real);
    }
    Integer(end);
  }

  void Integer(size_t end) {
    int base = 10;
    size_t begin = at_;
    const char kind = static_cast<char>(Peek(1) | 0x20);
    if (Peek() == '0' && (kind == 'x' || kind == 'o' || kind == 'b')) {
      const int wanted = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
      const size_t from = at_ + 2 + (Peek(2) == '_' ? 1 : 0);
      const size_t behind =
          BehindDigits(from, [&](char c) { return DigitValue(c) >= 0 && DigitValue(c) < wanted; });
      if (behind > from) {
        base = wanted;
        begin = from;
        end = behind;
      }
    }
    if (base == 10 && Peek() == '0') end = BehindDigits(at_, [](char c) { return c == '0'; });
    Int value = 0;
    for (size_t i = begin; i < end; ++i) {
      if (source_[i] == '_') continue;
      if (__builtin_mul_overflow(value, Int{base}, &value) ||
          __builtin_add_overflow(value, Int{DigitValue(source_[i])}, &value)) {
        Fault("an integer is beyond 127 bits");
      }
    }
    Add(Token::Kind::kInteger, source_.substr(at_, end - at_));
    tokens_.back().integer = value;
    MoveTo(end);
  }

  static int DigitValue(char c) {
    if (IsDigit(c)) return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  }

  void String(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) Fault(std::string("a string has no closing ") + quote);
    Add(Token::Kind::kString, Unescaped(source_.substr(at_ + 1, end - at_ - 1)));
    MoveTo(end + 1);
  }

  // As Python reads escapes; one that it does not know stays as it is.
  std::string Unescaped(const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        out += text[i];
        continue;
      }
      const char c = text[++i];  // there is one: a backslash cannot be the last before the quote
      static constexpr std::string_view kNames = "abfnrtv\\'\"";
      static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t known = kNames.find(c); known != std::string_view::npos) {
        out += kMeanings[known];
      } else if (c >= '0' && c <= '7') {
        size_t count = 1;
        while (count < 3 && i + count < text.size() && text[i + count] >= '0' &&
               text[i + count] <= '7') {
          ++count;
        }
        AppendCode(text.substr(i, count), 8, &out);
        i += count - 1;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        AppendCode(text.substr(i + 1, count), 16, &out, count);
        i += count;
      } else if (c == 'N') {
        Fault("\\N{...} in a string is not supported; write the character itself");
      } else if (c != '\n') {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  void AppendCode(const std::string& digits, int base, std::string* out, size_t count = 0) {
    uint32_t code = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    if (read.ptr != digits.data() + digits.size() || digits.size() < count || digits.empty()) {
      Fault("an escape in a string has too few digits");
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      Fault("an escape in a string is no character: \\" + Printable(digits));
    }
    AppendUtf8(static_cast<char32_t>(code), out);
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // the token before ended in a newline, or there is none
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Tokenize(std::string_view source) { return Lexer(source).Run(); }

}  // namespace darkhorse::jinja
