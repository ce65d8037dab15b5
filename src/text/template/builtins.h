// What templates may call by name: filters, tests, methods of values and global functions. The
// tables are all there is; nothing else can be reached from a template.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/value.h"

namespace darkhorse::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// The arguments under the names of `parameters`, null where none is given. Error: too many, twice,
// of another name, or one of the first `required` is missing.
std::vector<const Value*> Bind(std::string_view function, const Arguments& arguments,
                               std::initializer_list<std::string_view> parameters,
                               size_t required = 0);

using FilterFunction = MethodFunction;  // `self` is what stands left of the bar
using TestFunction = bool (*)(Context& context, const Value& value, Arguments& arguments);

// Null: no such name.
FilterFunction FindFilter(std::string_view name);
TestFunction FindTest(std::string_view name);
MethodFunction FindMethod(const Value& self, std::string_view name);
const Function* FindGlobal(std::string_view name);

// The nearest known name of a filter or test, for a message: "; is 'trim' meant?", or nothing.
std::string FilterHint(std::string_view name);
std::string TestHint(std::string_view name);

// value.name, and value[key]. Undefined if there is none. Error: the value is undefined itself.
Value Attribute(Context& context, const Value& value, const std::string& name);
Value Item(Context& context, const Value& value, const Value& key);
// value[start:stop:step]; null: absent.
Value Slice(Context& context, const Value& value, const Value* start, const Value* stop,
            const Value* step);

enum class Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};
Value Arithmetic(Context& context, Operator op, const Value& a, const Value& b);
bool Compare(Context& context, Operator op, const Value& a, const Value& b);
bool Contains(Context& context, const Value& container, const Value& item);
Value Negative(const Value& value);

// Python's slice: how many items, and the index of the first.
struct Span {
  int64_t first = 0, step = 1, count = 0;
};
Span SliceSpan(int64_t length, const Value* start, const Value* stop, const Value* step);

// Implementation: one table each, in the file of that name.
struct NamedFunction {
  std::string_view name;
  MethodFunction function;
};
std::vector<NamedFunction> ValueFilters();
std::vector<NamedFunction> TextFilters();
std::vector<NamedFunction> ListFilters();
MethodFunction FindTextMethod(std::string_view name);

}  // namespace darkhorse::jinja
