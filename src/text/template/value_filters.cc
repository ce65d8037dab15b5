// Filters of single values: numbers, JSON, defaults.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/characters.h"
#include "text/template/spell.h"

namespace darkhorse::jinja {

namespace {

Value Default(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("default", arguments, {"default_value", "boolean"});
  const bool boolean = given[1] != nullptr && IsTrue(*given[1]);
  if (!value.IsUndefined() && !(boolean && !IsTrue(value))) return value;
  return given[0] != nullptr ? *given[0] : NewText(context, "");
}

Value ToJson(Context& context, const Value& value, Arguments& arguments) {
  const auto given =
      Bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  const auto is_given = [&](size_t i) { return given[i] != nullptr && !given[i]->IsNone(); };
  JsonStyle style;
  style.ensure_ascii = given[0] != nullptr && IsTrue(*given[0]);
  style.sort_keys = given[3] != nullptr && IsTrue(*given[3]);
  if (is_given(1)) {
    if (const Text* text = given[1]->text()) {
      style.indent = text->bytes();
    } else {
      const auto width = static_cast<size_t>(std::max<int64_t>(IndexOf(*given[1], "indent"), 0));
      context.meter()->Room(width);
      style.indent = std::string(width, ' ');
    }
    style.item_separator = MarkedText(",", Origin::kTemplate);
  }
  if (is_given(2)) {
    const List* pair = given[2]->list();
    if (pair == nullptr || pair->items.size() != 2 || pair->items[0].text() == nullptr ||
        pair->items[1].text() == nullptr) {
      Fail("separators of tojson are two strings");
    }
    style.item_separator = pair->items[0].text()->text;
    style.key_separator = pair->items[1].text()->text;
  }
  TextBuilder out(&context);
  AppendJson(context, value, style, &out);
  return out.TakeValue();
}

Value FromJsonFilter(Context& context, const Value& value, Arguments& arguments) {
  Bind("from_json", arguments, {});
  const Text* text = value.text();
  if (text == nullptr) Fail("from_json takes a string, not '{}'", TypeName(value));
  context.Touch(text->text.size() * 8);
  context.meter()->Room(text->text.size() * 16);
  std::string why;
  const auto json = TryParseJson<nlohmann::ordered_json>(text->bytes(), &why);
  if (!json) Fail("from_json: {}", why);
  return FromJson(context, *json, text->text.HasInput() ? Origin::kInput : Origin::kTemplate);
}

// Text around which Python's int() and float() allow white space, and underscores between digits.
std::string NumberText(std::string_view text) {
  for (size_t next = 0; !text.empty() && IsSpace(NextUtf8(text, &next)); next = 0) {
    text.remove_prefix(next);
  }
  for (size_t end = text.size(); end > 0 && IsSpace(PreviousUtf8(text, &end));) {
    text = text.substr(0, end);
  }
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]));
    };
    if (text[i] == '_' && i > 0 && digit(i - 1) && digit(i + 1)) continue;
    digits += text[i];
  }
  return digits;
}

bool ReadInt(std::string_view text, int64_t base, Int* value) {
  std::string digits = NumberText(text);
  bool negative = false;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) {
    negative = digits[0] == '-';
    digits.erase(0, 1);
  }
  if (digits.size() > 2 && digits[0] == '0') {
    const char kind = static_cast<char>(digits[1] | 0x20);
    const int64_t named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      digits.erase(0, 2);
      base = named;
    }
  }
  if (base == 0) base = 10;
  if (digits.empty()) return false;
  Int read = 0;
  for (const char c : digits) {
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                               : 99;
    if (digit >= base) return false;
    if (__builtin_mul_overflow(read, Int{base}, &read) ||
        __builtin_add_overflow(read, Int{digit}, &read)) {
      Fail("an integer is beyond 127 bits");
    }
  }
  *value = negative ? -read : read;
  return true;
}

bool ReadFloat(std::string_view text, double* value) {
  const std::string digits = NumberText(text);
  const bool plus = !digits.empty() && digits[0] == '+';
  const char* begin = digits.data() + (plus ? 1 : 0);
  const char* end = digits.data() + digits.size();
  if (plus && begin < end && *begin == '-') return false;
  const auto read = std::from_chars(begin, end, *value);
  if (read.ec == std::errc::result_out_of_range)
    Fail("{} is beyond a float", Printable(digits, 40));
  return read.ec == std::errc() && read.ptr == end;
}

Value ToInt(Context&, const Value& value, Arguments& arguments) {
  const auto given = Bind("int", arguments, {"default", "base"});
  RefuseUndefined(value);
  if (value.IsNumber()) {
    const bool nan = value.Is<double>() && std::isnan(FloatOf(value, ""));
    if (!nan) return {IntOf(value, "int")};
  }
  if (const Text* text = value.text()) {
    Int read = 0;
    double number = 0;
    const int64_t base = given[1] == nullptr ? 10 : IndexOf(*given[1], "base");
    if (base != 0 && (base < 2 || base > 36)) Fail("int() base must be >= 2 and <= 36, or 0");
    if (ReadInt(text->bytes(), base, &read)) return {read};
    if (ReadFloat(text->bytes(), &number) && std::isfinite(number)) {
      return {IntOf({number}, "int")};
    }
  }
  return given[0] == nullptr ? Value{Int{0}} : *given[0];
}

Value ToFloat(Context&, const Value& value, Arguments& arguments) {
  const auto given = Bind("float", arguments, {"default"});
  RefuseUndefined(value);
  if (value.IsNumber()) return {FloatOf(value, "float")};
  double number = 0;
  if (value.text() != nullptr && ReadFloat(value.text()->bytes(), &number)) return {number};
  return given[0] == nullptr ? Value{0.0} : *given[0];
}

Value Round(Context&, const Value& value, Arguments& arguments) {
  const auto given = Bind("round", arguments, {"precision", "method"});
  RefuseUndefined(value);
  const int64_t digits = given[0] == nullptr ? 0 : IndexOf(*given[0], "precision");
  if (digits < -30 || digits > 300) Fail("a precision of {} is not supported", digits);
  std::string method = "common";
  if (given[1] != nullptr) {
    if (given[1]->text() == nullptr) Fail("method must be common, ceil or floor");
    method = given[1]->text()->bytes();
  }
  if (method == "ceil" || method == "floor") {
    const double scale = std::pow(10.0, static_cast<double>(digits));
    const double scaled = FloatOf(value, "round") * scale;
    return {(method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale + 0.0};  // no -0.0
  }
  if (method != "common") Fail("method must be common, ceil or floor");
  if (!value.Is<double>() && digits >= 0) return {IntOf(value, "round")};
  if (digits < 0) Fail("a negative precision is supported for ceil and floor only");
  const double number = FloatOf(value, "round");
  if (!std::isfinite(number)) return {number};
  const std::string spelling = fmt::format("{:.{}f}", number, digits);  // rounds half to even
  double rounded = 0;
  std::from_chars(spelling.data(), spelling.data() + spelling.size(), rounded);
  return {rounded};
}

Value Abs(Context&, const Value& value, Arguments& arguments) {
  Bind("abs", arguments, {});
  RefuseUndefined(value);
  if (const auto* number = std::get_if<double>(&value.v)) return {std::fabs(*number)};
  if (!value.IsNumber()) Fail("bad operand type for abs(): '{}'", TypeName(value));
  const Int number = IntOf(value, "");
  return number < 0 ? Negative({number}) : Value{number};
}

Value AttrFilter(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("attr", arguments, {"name"}, 1);
  if (given[0]->text() == nullptr) Fail("attr takes a name, not '{}'", TypeName(*given[0]));
  // Attributes alone, no items, as jinja2's filter has it.
  if (value.dict() == nullptr) return Attribute(context, value, given[0]->text()->bytes());
  const MethodFunction method = FindMethod(value, given[0]->text()->bytes());
  if (method == nullptr) return UndefinedBecause("a dict has no such attribute; is ['...'] meant?");
  return Attribute(context, value, given[0]->text()->bytes());
}

}  // namespace

std::vector<NamedFunction> ValueFilters() {
  return {{"abs", Abs},         {"attr", AttrFilter}, {"d", Default},
          {"default", Default}, {"float", ToFloat},   {"from_json", FromJsonFilter},
          {"int", ToInt},       {"round", Round},     {"tojson", ToJson}};
}

}  // namespace darkhorse::jinja
