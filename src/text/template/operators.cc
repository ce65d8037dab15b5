// What Python's operators, subscripts and attributes do.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/spell.h"
#include "text/template/text_functions.h"

namespace darkhorse::jinja {

namespace {

constexpr std::string_view kSpellings[] = {
    "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};

[[noreturn]] void FaultOperands(Operator op, const Value& a, const Value& b) {
  RefuseUndefined(a);
  RefuseUndefined(b);
  Fail("unsupported operands of {}: '{}' and '{}'", kSpellings[static_cast<int>(op)], TypeName(a),
       TypeName(b));
}

[[noreturn]] void FaultZero() { Fail("division by zero"); }
[[noreturn]] void FaultOverflow() { Fail("an integer is beyond 127 bits"); }

double FloorModulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

// As Python defines it, exact where the quotient is near a whole number.
double FloorDivide(double a, double b) {
  const double quotient = (a - FloorModulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Value FloatArithmetic(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return {a + b};
    case Operator::kSubtract:
      return {a - b};
    case Operator::kMultiply:
      return {a * b};
    case Operator::kPower: {
      if (a == 0 && b < 0) FaultZero();
      if (a < 0 && std::floor(b) != b) Fail("a root of a negative number is not supported");
      const double power = std::pow(a, b);
      if (std::isinf(power) && !std::isinf(a) && !std::isinf(b)) Fail("a float is out of range");
      return {power};
    }
    default:
      if (b == 0) FaultZero();
      return {op == Operator::kDivide        ? a / b
              : op == Operator::kFloorDivide ? FloorDivide(a, b)
                                             : FloorModulo(a, b)};
  }
}

Int IntPower(Int base, Int exponent) {
  Int result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) FaultOverflow();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) FaultOverflow();
  }
  return result;
}

Value IntArithmetic(Operator op, Int a, Int b) {
  Int result = 0;
  switch (op) {
    case Operator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) FaultOverflow();
      return {result};
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) FaultOverflow();
      return {result};
    case Operator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) FaultOverflow();
      return {result};
    case Operator::kPower:
      if (b < 0) return FloatArithmetic(op, static_cast<double>(a), static_cast<double>(b));
      return {IntPower(a, b)};
    case Operator::kDivide:
      return FloatArithmetic(op, static_cast<double>(a), static_cast<double>(b));
    default:
      break;
  }
  if (b == 0) FaultZero();
  if (b == -1) {  // the one quotient that overflows
    if (op == Operator::kModulo) return {Int{0}};
    if (__builtin_sub_overflow(Int{0}, a, &result)) FaultOverflow();
    return {result};
  }
  const Int rest = a % b;
  const bool down = rest != 0 && (rest < 0) != (b < 0);
  if (op == Operator::kModulo) return {down ? rest + b : rest};
  return {a / b - (down ? 1 : 0)};
}

Value AddTexts(Context& context, const Value& a, const Value& b) {
  const bool markup = a.text()->markup || b.text()->markup;
  TextBuilder out(&context);
  for (const Value* part : {&a, &b}) {
    const Text& text = *part->text();
    out.Add(markup && !text.markup ? EscapeHtml(context, text.text) : text.text);
  }
  return out.TakeValue(markup);
}

Value Repeated(Context& context, const Value& value, int64_t count) {
  const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
  if (const Text* text = value.text()) {
    TextBuilder out(&context);
    for (size_t i = 0; i < times && !text->text.empty(); ++i) {
      context.Step();
      out.Add(text->text);
    }
    return out.TakeValue(text->markup);
  }
  const List& list = *value.list();
  const size_t room = list.items.size() * sizeof(Value);
  if (room > 0 && times > std::numeric_limits<uint32_t>::max() / room) {
    Fail("a list times {} is too long", count);
  }
  context.meter()->Room(room * times);
  std::vector<Value> items;
  items.reserve(list.items.size() * times);
  for (size_t i = 0; i < times && room > 0; ++i) {
    context.Step(static_cast<int64_t>(list.items.size()));
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return NewList(context, std::move(items), list.kind);
}

bool Repeats(const Value& value) {
  return value.text() != nullptr ||
         (value.list() != nullptr && value.list()->kind <= List::Kind::kTuple);
}

Value LoopAttribute(Context& context, const Value& value, const std::string& name) {
  const Loop& loop = *std::get<std::shared_ptr<const Loop>>(value.v);
  const std::vector<Value>& items = loop.items->items;
  const auto number = [](size_t count) { return Value{static_cast<Int>(count)}; };
  const auto item = [&](size_t index, const char* why) {
    return index < items.size() ? items[index] : UndefinedBecause(why);
  };
  if (name == "index") return number(loop.index + 1);
  if (name == "index0") return number(loop.index);
  if (name == "first") return {loop.index == 0};
  if (name == "last") return {loop.index + 1 >= items.size()};
  if (name == "length") return number(items.size());
  if (name == "revindex") return number(items.size() - loop.index);
  if (name == "revindex0") return number(items.size() - loop.index - 1);
  if (name == "depth") return number(static_cast<size_t>(loop.depth));
  if (name == "depth0") return number(static_cast<size_t>(loop.depth) - 1);
  if (name == "previtem") return item(loop.index - 1, "there is no previous item");
  if (name == "nextitem") return item(loop.index + 1, "there is no next item");
  if (name != "cycle") return UndefinedBecause("the loop has no attribute '" + name + "' here");
  const MethodFunction cycle = [](Context&, const Value& self, Arguments& arguments) {
    const auto& cycling = *std::get<std::shared_ptr<const Loop>>(self.v);
    if (arguments.positional.empty()) Fail("no items for cycling given");
    return arguments.positional[cycling.index % arguments.positional.size()];
  };
  context.Step();
  return {std::make_shared<const Bound>(Bound{value, "cycle", cycle})};
}

Value NoAttribute(const Value& value, const std::string& name) {
  return UndefinedBecause(
      fmt::format("{} has no attribute '{}'", ObjectName(value), Printable(name)));
}

// A method or another attribute that is not an item; false if there is none.
bool FindAttribute(Context& context, const Value& value, const std::string& name, Value* found) {
  if (value.Is<std::shared_ptr<const Loop>>()) {
    *found = LoopAttribute(context, value, name);
    return true;
  }
  if (const Namespace* space = value.space()) {
    const Value* field = space->fields.FindText(name);
    if (field != nullptr) *found = *field;
    return field != nullptr;
  }
  const MethodFunction method = FindMethod(value, name);
  if (method == nullptr) {
    static constexpr std::string_view kForbidden[] = {"clear", "pop", "popitem", "setdefault",
                                                      "update"};
    if (value.dict() == nullptr ||
        std::find(std::begin(kForbidden), std::end(kForbidden), name) == std::end(kForbidden)) {
      return false;
    }
    *found = UndefinedBecause(fmt::format("a template may not change a dict by '{}'", name));
    return true;
  }
  context.Step();
  *found = {std::make_shared<const Bound>(Bound{value, name, method})};
  return true;
}

}  // namespace

Value Attribute(Context& context, const Value& value, const std::string& name) {
  RefuseUndefined(value);
  Value found;
  if (FindAttribute(context, value, name, &found)) return found;
  if (const Dict* dict = value.dict()) {
    if (const Value* item = dict->FindText(name)) return *item;
  }
  return NoAttribute(value, name);
}

Value Item(Context& context, const Value& value, const Value& key) {
  RefuseUndefined(value);
  if (const Dict* dict = value.dict()) {
    const bool hashable = key.list() == nullptr || key.list()->kind == List::Kind::kTuple;
    const Value* item =
        hashable && key.dict() == nullptr ? dict->Find(KeyOf(context, key)) : nullptr;
    if (item != nullptr) return *item;
  }
  if (key.Is<Int>() || key.Is<bool>()) {
    const int64_t index = IndexOf(key, "an index");
    const List* list = value.list();
    if (list != nullptr && list->Subscripts()) {
      const auto size = static_cast<int64_t>(list->items.size());
      const int64_t at = index < 0 ? index + size : index;
      if (at >= 0 && at < size) return list->items[static_cast<size_t>(at)];
    }
    if (const Text* text = value.text()) {
      const int64_t at = index < 0 ? index + text->characters : index;
      if (at >= 0 && at < text->characters) {
        const size_t begin = ByteOffset(context, *text, at);
        const size_t size = Utf8Length(text->bytes()[begin]);
        return NewText(context, text->text.Part(begin, size), text->markup);
      }
    }
  }
  if (const Text* name = key.text()) {
    Value found;
    if (FindAttribute(context, value, name->bytes(), &found)) return found;
    return NoAttribute(value, name->bytes());
  }
  TextBuilder spelling(&context);
  AppendRepr(context, key, &spelling);
  return UndefinedBecause(fmt::format("{} has no element {}", ObjectName(value),
                                      Printable(spelling.Take().bytes(), 60)));
}

Span SliceSpan(int64_t length, const Value* start, const Value* stop, const Value* step) {
  const auto given = [](const Value* bound) { return bound != nullptr && !bound->IsNone(); };
  const auto bound = [](const Value* value) { return IndexOf(*value, "a bound of a slice"); };
  Span span;
  span.step = given(step) ? bound(step) : 1;
  if (span.step == 0) Fail("slice step cannot be zero");
  const bool down = span.step < 0;
  const int64_t low = down ? -1 : 0, high = down ? length - 1 : length;
  const auto place = [&](const Value* value, int64_t otherwise) {
    if (!given(value)) return otherwise;
    const int64_t at = bound(value);
    return std::clamp(at < 0 ? at + length : at, low, high);
  };
  span.first = place(start, down ? high : low);
  const int64_t end = place(stop, down ? low : high);
  const int64_t distance = down ? span.first - end : end - span.first;
  const int64_t stride = down ? -span.step : span.step;
  span.count = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  return span;
}

Value Slice(Context& context, const Value& value, const Value* start, const Value* stop,
            const Value* step) {
  RefuseUndefined(value);
  if (const Text* text = value.text()) {
    const Span span = SliceSpan(text->characters, start, stop, step);
    return SliceText(context, *text, span);
  }
  const List* list = value.list();
  if (list == nullptr || !list->Subscripts()) Fail("'{}' object has no slices", TypeName(value));
  const Span span = SliceSpan(static_cast<int64_t>(list->items.size()), start, stop, step);
  context.meter()->Room(static_cast<size_t>(span.count) * sizeof(Value));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(span.count));
  for (int64_t i = 0; i < span.count; ++i) {
    items.push_back(list->items[static_cast<size_t>(span.first + i * span.step)]);
  }
  Value slice = NewList(context, std::move(items), list->kind);
  slice.list()->start = list->start + list->step * span.first;
  slice.list()->step = list->step * span.step;
  slice.list()->stop = slice.list()->start + slice.list()->step * span.count;
  return slice;
}

Value Arithmetic(Context& context, Operator op, const Value& a, const Value& b) {
  if (op == Operator::kModulo && a.text() != nullptr) return PercentFormat(context, a, b);
  if (a.IsNumber() && b.IsNumber()) {
    if (!a.Is<double>() && !b.Is<double>()) return IntArithmetic(op, IntOf(a, ""), IntOf(b, ""));
    return FloatArithmetic(op, FloatOf(a, ""), FloatOf(b, ""));
  }
  if (op == Operator::kAdd) {
    if (a.text() != nullptr && b.text() != nullptr) return AddTexts(context, a, b);
    if (Repeats(a) && Repeats(b) && a.list() != nullptr && b.list() != nullptr &&
        a.list()->kind == b.list()->kind) {
      std::vector<Value> items = a.list()->items;
      context.meter()->Room((items.size() + b.list()->items.size()) * sizeof(Value));
      items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
      return NewList(context, std::move(items), a.list()->kind);
    }
  }
  if (op == Operator::kMultiply) {
    const bool left = Repeats(a);
    const Value& many = left ? b : a;
    if ((left || Repeats(b)) && (many.Is<Int>() || many.Is<bool>())) {
      return Repeated(context, left ? a : b, IndexOf(many, "a count"));
    }
  }
  FaultOperands(op, a, b);
}

Value Negative(const Value& value) {
  RefuseUndefined(value);
  if (const auto* number = std::get_if<double>(&value.v)) return {-*number};
  if (!value.IsNumber()) Fail("bad operand type for unary -: '{}'", TypeName(value));
  return IntArithmetic(Operator::kSubtract, 0, IntOf(value, ""));
}

bool Contains(Context& context, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    if (item.text() == nullptr) {
      RefuseUndefined(item);
      Fail("'in <string>' requires string as left operand, not {}", TypeName(item));
    }
    context.Touch(text->text.size());
    return FindBytes(text->bytes(), item.text()->bytes(), 0) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->Find(KeyOf(context, item)) != nullptr;
  const auto items = Iterate(context, container);
  return std::any_of(items->items.begin(), items->items.end(),
                     [&](const Value& other) { return IsEqual(context, item, other); });
}

bool Compare(Context& context, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::kEqual:
      return IsEqual(context, a, b);
    case Operator::kNotEqual:
      return !IsEqual(context, a, b);
    case Operator::kLess:
      return IsLess(context, a, b);
    case Operator::kGreater:
      return IsLess(context, b, a);
    case Operator::kLessEqual:
      return IsLess(context, a, b) || IsEqual(context, a, b);
    case Operator::kGreaterEqual:
      return IsLess(context, b, a) || IsEqual(context, a, b);
    case Operator::kIn:
      return Contains(context, b, a);
    default:
      return !Contains(context, b, a);
  }
}

}  // namespace darkhorse::jinja
