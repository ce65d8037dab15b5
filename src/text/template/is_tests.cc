// The tests of `value is name`.
#include <fmt/format.h>

#include <map>

#include "base/nearest_name.h"
#include "text/template/builtins.h"
#include "text/template/spell.h"

namespace darkhorse::jinja {

namespace {

template <Operator kOp>
bool Compared(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("a comparison", arguments, {"other"}, 1);
  return Compare(context, kOp, value, *given[0]);
}

bool IsBool(const Value& value, bool wanted) {
  const auto* truth = std::get_if<bool>(&value.v);
  return truth != nullptr && *truth == wanted;
}

bool DividesTo(Context& context, const Value& value, const Value& by, int rest) {
  return IsEqual(context, Arithmetic(context, Operator::kModulo, value, by), {Int{rest}});
}

bool IsIterable(const Value& value) {
  return value.IsUndefined() || value.text() != nullptr || value.list() != nullptr ||
         value.dict() != nullptr || value.Is<std::shared_ptr<const Loop>>();
}

// As jinja2 has it: what has a length and subscripts, a dict and an undefined value among them.
bool IsSequence(const Value& value) {
  return value.IsUndefined() || value.text() != nullptr || value.dict() != nullptr ||
         (value.list() != nullptr && value.list()->Subscripts());
}

bool IsCallable(const Value& value) {
  return value.IsUndefined() || value.Is<const Function*>() || value.Is<const Macro*>() ||
         value.Is<std::shared_ptr<const Bound>>() || value.Is<std::shared_ptr<const Loop>>();
}

// Python's `is`, where it does not hang on how numbers and strings are kept.
bool IsSame(Context& context, const Value& a, const Value& b) {
  if (a.list() != nullptr || b.list() != nullptr) return a.list() == b.list();
  if (a.dict() != nullptr || b.dict() != nullptr) return a.dict() == b.dict();
  return a.v.index() == b.v.index() && IsEqual(context, a, b);
}

bool AllOfCase(Context& context, const Value& value, const char* method) {
  const Value text = AsText(context, value);
  Arguments none;
  return IsTrue(FindTextMethod(method)(context, text, none));
}

const std::map<std::string_view, TestFunction>& Tests() {
  using Args = Arguments&;
  static const std::map<std::string_view, TestFunction> tests = {
      {"defined", [](Context&, const Value& v, Args) { return !v.IsUndefined(); }},
      {"undefined", [](Context&, const Value& v, Args) { return v.IsUndefined(); }},
      {"none", [](Context&, const Value& v, Args) { return v.IsNone(); }},
      {"boolean", [](Context&, const Value& v, Args) { return v.Is<bool>(); }},
      {"true", [](Context&, const Value& v, Args) { return IsBool(v, true); }},
      {"false", [](Context&, const Value& v, Args) { return IsBool(v, false); }},
      {"integer", [](Context&, const Value& v, Args) { return v.Is<Int>(); }},
      {"float", [](Context&, const Value& v, Args) { return v.Is<double>(); }},
      {"number", [](Context&, const Value& v, Args) { return v.IsNumber(); }},
      {"string", [](Context&, const Value& v, Args) { return v.text() != nullptr; }},
      {"mapping", [](Context&, const Value& v, Args) { return v.dict() != nullptr; }},
      {"sequence", [](Context&, const Value& v, Args) { return IsSequence(v); }},
      {"iterable", [](Context&, const Value& v, Args) { return IsIterable(v); }},
      {"callable", [](Context&, const Value& v, Args) { return IsCallable(v); }},
      {"escaped",
       [](Context&, const Value& v, Args) { return v.text() != nullptr && v.text()->markup; }},
      {"lower", [](Context& c, const Value& v, Args) { return AllOfCase(c, v, "islower"); }},
      {"upper", [](Context& c, const Value& v, Args) { return AllOfCase(c, v, "isupper"); }},
      {"odd", [](Context& c, const Value& v, Args) { return DividesTo(c, v, {Int{2}}, 1); }},
      {"even", [](Context& c, const Value& v, Args) { return DividesTo(c, v, {Int{2}}, 0); }},
      {"divisibleby",
       [](Context& c, const Value& v, Args args) {
         return DividesTo(c, v, *Bind("divisibleby", args, {"num"}, 1)[0], 0);
       }},
      {"in", [](Context& c, const Value& v,
                Args args) { return Contains(c, *Bind("in", args, {"seq"}, 1)[0], v); }},
      {"sameas", [](Context& c, const Value& v,
                    Args args) { return IsSame(c, v, *Bind("sameas", args, {"other"}, 1)[0]); }},
      {"filter",
       [](Context&, const Value& v, Args) {
         return v.text() != nullptr && FindFilter(v.text()->bytes()) != nullptr;
       }},
      {"test", [](Context&, const Value& v,
                  Args) { return v.text() != nullptr && FindTest(v.text()->bytes()) != nullptr; }},
      {"eq", Compared<Operator::kEqual>},
      {"equalto", Compared<Operator::kEqual>},
      {"==", Compared<Operator::kEqual>},
      {"ne", Compared<Operator::kNotEqual>},
      {"!=", Compared<Operator::kNotEqual>},
      {"gt", Compared<Operator::kGreater>},
      {"greaterthan", Compared<Operator::kGreater>},
      {">", Compared<Operator::kGreater>},
      {"ge", Compared<Operator::kGreaterEqual>},
      {">=", Compared<Operator::kGreaterEqual>},
      {"lt", Compared<Operator::kLess>},
      {"lessthan", Compared<Operator::kLess>},
      {"<", Compared<Operator::kLess>},
      {"le", Compared<Operator::kLessEqual>},
      {"<=", Compared<Operator::kLessEqual>},
  };
  return tests;
}

}  // namespace

TestFunction FindTest(std::string_view name) {
  const auto found = Tests().find(name);
  return found == Tests().end() ? nullptr : found->second;
}

std::string TestHint(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, function] : Tests()) names.emplace_back(known);
  return DidYouMean(name, names);
}

}  // namespace darkhorse::jinja
