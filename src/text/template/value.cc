#include "text/template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/utf8.h"

namespace darkhorse::jinja {

namespace {

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; });
}

int DepthOf(const Value& value) {
  if (const List* list = value.list()) return list->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  return 0;
}

// The depth of a container of this depth once it holds `value`, which may grow no more.
int Hold(const Value& value, int depth) {
  if (List* list = value.list()) list->held = true;
  const int above = std::max(depth, DepthOf(value) + 1);
  if (above > kMaxValueDepth) {
    Fail("lists and dicts hold each other more than {} levels deep", kMaxValueDepth);
  }
  return above;
}

}  // namespace

Value UndefinedBecause(std::string why) {
  return {Undefined{std::make_shared<const std::string>(std::move(why))}};
}

void RefuseUndefined(const Value& value) {
  if (const auto* undefined = std::get_if<Undefined>(&value.v)) Fail("{}", undefined->Why());
}

Value NewText(Context& context, MarkedText text, bool markup) {
  context.Touch(text.size());
  auto made = std::make_shared<Text>();
  made->charge = Charge(context.meter(), sizeof(Text) + text.size());
  made->characters = CountCharacters(text.bytes());
  made->text = std::move(text);
  made->markup = markup;
  return {std::shared_ptr<const Text>(std::move(made))};
}

Value NewText(Context& context, std::string_view bytes) {
  return NewText(context, MarkedText(std::string(bytes), Origin::kTemplate));
}

Value ConstantText(std::string_view bytes) {
  auto made = std::make_shared<Text>();
  made->characters = CountCharacters(bytes);
  made->text = MarkedText(std::string(bytes), Origin::kTemplate);
  return {std::shared_ptr<const Text>(std::move(made))};
}

Value NewList(Context& context, std::vector<Value> items, List::Kind kind) {
  context.Step(static_cast<int64_t>(items.size()));
  auto list = std::make_shared<List>();
  list->charge = Charge(context.meter(), sizeof(List) + items.size() * sizeof(Value));
  for (const Value& item : items) list->depth = Hold(item, list->depth);
  list->kind = kind;
  list->items = std::move(items);
  return {std::move(list)};
}

const Value* Dict::Find(const std::string& key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &entries[found->second].second;
}

const Value* Dict::FindText(std::string_view name) const { return Find("s" + std::string(name)); }

std::string KeyOf(Context& context, const Value& key) {
  context.Step();
  if (const Text* text = key.text()) {
    context.Touch(text->text.size());
    return "s" + text->bytes();
  }
  if (key.IsNone()) return "n";
  if (key.IsUndefined()) return "u";
  if (key.IsNumber()) {
    const double number = FloatOf(key, "a key");
    const bool whole =
        !key.Is<double>() || (std::floor(number) == number && std::fabs(number) < 1e30);
    return whole ? fmt::format("i{}", IntOf(key, "a key")) : fmt::format("f{}", number);
  }
  const List* list = key.list();
  if (list == nullptr || list->kind != List::Kind::kTuple) {
    Fail("unhashable type: '{}' cannot be a key", TypeName(key));
  }
  std::string spelling = "t";
  for (const Value& item : list->items) {
    const std::string part = KeyOf(context, item);
    context.meter()->Room(spelling.size() + part.size());
    spelling += fmt::format("{}:", part.size());
    spelling += part;
  }
  return spelling;
}

DictBuilder::DictBuilder(Context* context) : context_(context), dict_(std::make_shared<Dict>()) {
  dict_->charge = Charge(context->meter(), sizeof(Dict));
}

namespace {

void SetEntry(Context& context, Dict* dict, const Value& key, Value value) {
  std::string spelling = KeyOf(context, key);
  const auto found = dict->index.find(spelling);
  if (found != dict->index.end()) {
    dict->entries[found->second].second = std::move(value);
    return;
  }
  dict->charge.Grow(2 * sizeof(Value) + spelling.size() + 64);
  dict->index.emplace(std::move(spelling), dict->entries.size());
  dict->entries.emplace_back(key, std::move(value));
}

}  // namespace

void DictBuilder::Set(const Value& key, Value value) {
  dict_->depth = Hold(value, Hold(key, dict_->depth));
  SetEntry(*context_, dict_.get(), key, std::move(value));
}

void SetField(Context& context, Namespace* space, std::string_view name, Value value) {
  SetEntry(context, &space->fields, NewText(context, name), std::move(value));
}

void AppendItem(Context& context, List* list, Value item) {
  const int depth = Hold(item, list->depth);
  if (list->held) Fail("a list that is part of another value cannot grow");
  context.Step();
  list->charge.Grow(sizeof(Value));
  list->depth = depth;
  list->items.push_back(std::move(item));
}

Value FromJson(Context& context, const nlohmann::ordered_json& json, Origin origin) {
  context.Step();
  const Context::Nested nested(&context);
  const auto text_of = [&](const std::string& text) {
    if (!IsValidUtf8(text)) Fail("'{}' is not valid UTF-8", Printable(text, 40));
    return NewText(context, MarkedText(text, origin));
  };
  using Kind = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Kind::boolean:
      return {json.get<bool>()};
    case Kind::number_integer:
      return {static_cast<Int>(json.get<int64_t>())};
    case Kind::number_unsigned:
      return {static_cast<Int>(json.get<uint64_t>())};
    case Kind::number_float:
      return {json.get<double>()};
    case Kind::string:
      return text_of(json.get_ref<const std::string&>());
    case Kind::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(FromJson(context, item, origin));
      return NewList(context, std::move(items));
    }
    case Kind::object: {
      DictBuilder dict(&context);
      for (const auto& [key, item] : json.items()) {
        dict.Set(text_of(key), FromJson(context, item, origin));
      }
      return dict.Take();
    }
    default:
      return {None{}};
  }
}

std::string_view TypeName(const Value& value) {
  static constexpr std::string_view kListNames[] = {
      "list", "tuple", "range", "dict_keys", "dict_values", "dict_items", "generator"};
  if (value.IsUndefined()) return "Undefined";
  if (value.IsNone()) return "NoneType";
  if (value.Is<bool>()) return "bool";
  if (value.Is<Int>()) return "int";
  if (value.Is<double>()) return "float";
  if (const Text* text = value.text()) return text->markup ? "Markup" : "str";
  if (const List* list = value.list()) return kListNames[static_cast<int>(list->kind)];
  if (value.dict() != nullptr) return "dict";
  if (value.Is<std::shared_ptr<const Loop>>()) return "LoopContext";
  if (value.Is<const Macro*>()) return "Macro";
  if (value.space() != nullptr) return "Namespace";
  return "function";
}

std::string ObjectName(const Value& value) {
  return value.IsNone() ? "None" : fmt::format("'{} object'", TypeName(value));
}

bool IsTrue(const Value& value) {
  if (value.IsUndefined() || value.IsNone()) return false;
  if (value.IsNumber()) return FloatOf(value, "") != 0;
  if (const Text* text = value.text()) return !text->text.empty();
  if (const List* list = value.list()) return !list->HasLength() || !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

namespace {

// Less, equal or greater, of integers and floats alike: exact, for a float is not always the same
// as the integer that is converted to it.
int CompareNumbers(const Value& a, const Value& b) {
  if (!a.Is<double>() && !b.Is<double>()) {
    const Int left = IntOf(a, ""), right = IntOf(b, "");
    return left < right ? -1 : left > right ? 1 : 0;
  }
  const auto left = a.Is<double>() ? static_cast<long double>(std::get<double>(a.v))
                                   : static_cast<long double>(IntOf(a, ""));
  const auto right = b.Is<double>() ? static_cast<long double>(std::get<double>(b.v))
                                    : static_cast<long double>(IntOf(b, ""));
  return left < right ? -1 : left > right ? 1 : left == right ? 0 : 2;  // 2: not a number
}

}  // namespace

bool IsEqual(Context& context, const Value& a, const Value& b) {
  context.Step();
  if (a.IsNumber() && b.IsNumber()) return CompareNumbers(a, b) == 0;
  if (a.v.index() != b.v.index()) return false;
  if (a.IsUndefined() || a.IsNone()) return true;
  if (const Text* text = a.text()) {
    context.Touch(text->text.size());
    return text->bytes() == b.text()->bytes();
  }
  if (const List* list = a.list()) {
    const List* other = b.list();
    if (list == other) return true;
    if (list->kind != other->kind || list->items.size() != other->items.size()) return false;
    // Views of values and generators are equal to themselves alone.
    if (list->kind > List::Kind::kRange && list->kind != List::Kind::kKeys) return false;
    return std::equal(list->items.begin(), list->items.end(), other->items.begin(),
                      [&](const Value& x, const Value& y) { return IsEqual(context, x, y); });
  }
  if (const Dict* dict = a.dict()) {
    const Dict* other = b.dict();
    if (dict->entries.size() != other->entries.size()) return false;
    return std::all_of(dict->entries.begin(), dict->entries.end(), [&](const auto& entry) {
      const Value* found = other->Find(KeyOf(context, entry.first));
      return found != nullptr && IsEqual(context, entry.second, *found);
    });
  }
  return std::visit(
      [&](const auto& left) {
        using T = std::decay_t<decltype(left)>;
        if constexpr (std::is_pointer_v<T> || requires { left.get(); }) {
          return left == std::get<T>(b.v);
        } else {
          return false;
        }
      },
      a.v);
}

bool IsLess(Context& context, const Value& a, const Value& b) {
  context.Step();
  if (a.IsNumber() && b.IsNumber()) return CompareNumbers(a, b) == -1;
  if (a.text() != nullptr && b.text() != nullptr) {
    context.Touch(std::min(a.text()->text.size(), b.text()->text.size()));
    return a.text()->bytes() < b.text()->bytes();  // UTF-8 orders as its code points do
  }
  const List* left = a.list();
  const List* right = b.list();
  if (left != nullptr && right != nullptr && left->kind == right->kind &&
      left->kind <= List::Kind::kTuple) {
    const size_t size = std::min(left->items.size(), right->items.size());
    for (size_t i = 0; i < size; ++i) {
      if (IsEqual(context, left->items[i], right->items[i])) continue;
      return IsLess(context, left->items[i], right->items[i]);
    }
    return left->items.size() < right->items.size();
  }
  RefuseUndefined(a);
  RefuseUndefined(b);
  Fail("'{}' and '{}' have no order", TypeName(a), TypeName(b));
}

std::shared_ptr<const List> Iterate(Context& context, const Value& value) {
  if (const auto* list = std::get_if<std::shared_ptr<List>>(&value.v)) {
    context.Step(static_cast<int64_t>((*list)->items.size()));
    if ((*list)->kind != List::Kind::kGenerator) return *list;
    auto taken = std::make_shared<List>();
    taken->items.swap((*list)->items);
    std::swap(taken->charge, (*list)->charge);
    taken->depth = (*list)->depth;
    return taken;
  }
  std::vector<Value> items;
  if (const Text* text = value.text()) {
    context.meter()->Room(static_cast<size_t>(text->characters) * sizeof(Value));
    for (size_t at = 0; at < text->text.size();) {
      const size_t size = Utf8Length(text->bytes()[at]);
      items.push_back(NewText(context, text->text.Part(at, size)));
      at += size;
    }
  } else if (const Dict* dict = value.dict()) {
    for (const auto& [key, item] : dict->entries) items.push_back(key);
  } else if (!value.IsUndefined()) {
    Fail("'{}' object is not iterable", TypeName(value));
  }
  return std::get<std::shared_ptr<List>>(NewList(context, std::move(items)).v);
}

int64_t Length(const Value& value) {
  if (value.IsUndefined()) return 0;
  if (const Text* text = value.text()) return text->characters;
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries.size());
  if (const auto* loop = std::get_if<std::shared_ptr<const Loop>>(&value.v)) {
    return static_cast<int64_t>((*loop)->items->items.size());
  }
  const List* list = value.list();
  if (list == nullptr || !list->HasLength()) {
    Fail("object of type '{}' has no len()", TypeName(value));
  }
  return static_cast<int64_t>(list->items.size());
}

Int IntOf(const Value& value, std::string_view what) {
  if (const auto* integer = std::get_if<Int>(&value.v)) return *integer;
  if (const auto* truth = std::get_if<bool>(&value.v)) return *truth ? 1 : 0;
  if (const auto* number = std::get_if<double>(&value.v)) {
    if (!(std::fabs(*number) < 1e38)) Fail("{} is beyond an integer of 127 bits", *number);
    return static_cast<Int>(*number);
  }
  Fail("{} must be an integer, not '{}'", what, TypeName(value));
}

double FloatOf(const Value& value, std::string_view what) {
  if (const auto* number = std::get_if<double>(&value.v)) return *number;
  if (!value.IsNumber()) Fail("{} must be a number, not '{}'", what, TypeName(value));
  return static_cast<double>(IntOf(value, what));
}

int64_t IndexOf(const Value& value, std::string_view what) {
  if (value.Is<double>()) Fail("{} must be an integer, not 'float'", what);
  const Int limit = Int{1} << 62;
  return static_cast<int64_t>(std::clamp(IntOf(value, what), -limit, limit));
}

}  // namespace darkhorse::jinja
