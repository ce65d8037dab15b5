// Methods of Python's dict, list and tuple.
#include <algorithm>

#include "text/template/builtins.h"

namespace darkhorse::jinja {

namespace {

Value DictGet(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("get", arguments, {"key", "default"}, 1);
  const Value* found = self.dict()->Find(KeyOf(context, *given[0]));
  if (found != nullptr) return *found;
  return given[1] == nullptr ? Value{None{}} : *given[1];
}

template <List::Kind kKind>
Value DictView(Context& context, const Value& self, Arguments& arguments) {
  Bind("a view of a dict", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->entries) {
    if (kKind == List::Kind::kKeys) {
      items.push_back(key);
    } else if (kKind == List::Kind::kValues) {
      items.push_back(value);
    } else {
      items.push_back(NewList(context, {key, value}, List::Kind::kTuple));
    }
  }
  return NewList(context, std::move(items), kKind);
}

constexpr NamedFunction kDictMethods[] = {
    {"copy", [](Context&, const Value& self, Arguments&) { return self; }},  // dicts do not change
    {"get", DictGet},
    {"items", DictView<List::Kind::kItems>},
    {"keys", DictView<List::Kind::kKeys>},
    {"values", DictView<List::Kind::kValues>},
};

Value ListIndex(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("index", arguments, {"value"}, 1);
  const std::vector<Value>& items = self.list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (IsEqual(context, items[i], *given[0])) return {static_cast<Int>(i)};
  }
  Fail("the value is not in the list");
}

Value ListCount(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("count", arguments, {"value"}, 1);
  const std::vector<Value>& items = self.list()->items;
  return {static_cast<Int>(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return IsEqual(context, item, *given[0]);
  }))};
}

Value ListAppend(Context& context, const Value& self, Arguments& arguments) {
  AppendItem(context, self.list(), *Bind("append", arguments, {"object"}, 1)[0]);
  return {None{}};
}

Value ListPop(Context&, const Value& self, Arguments& arguments) {
  const auto given = Bind("pop", arguments, {"index"});
  std::vector<Value>& items = self.list()->items;
  const auto size = static_cast<int64_t>(items.size());
  const int64_t index = given[0] == nullptr ? -1 : IndexOf(*given[0], "an index");
  const int64_t at = index < 0 ? index + size : index;
  if (at < 0 || at >= size) Fail("pop index out of range");
  Value taken = items[static_cast<size_t>(at)];
  items.erase(items.begin() + at);
  return taken;
}

constexpr NamedFunction kListMethods[] = {
    {"append", ListAppend}, {"count", ListCount}, {"index", ListIndex}, {"pop", ListPop}};

MethodFunction FindIn(const NamedFunction* begin, const NamedFunction* end, std::string_view name) {
  const auto* found =
      std::find_if(begin, end, [&](const auto& method) { return method.name == name; });
  return found == end ? nullptr : found->function;
}

}  // namespace

MethodFunction FindMethod(const Value& self, std::string_view name) {
  if (self.text() != nullptr) return FindTextMethod(name);
  if (self.dict() != nullptr) return FindIn(std::begin(kDictMethods), std::end(kDictMethods), name);
  const List* list = self.list();
  if (list == nullptr || !list->Subscripts()) return nullptr;
  if (list->kind != List::Kind::kList && (name == "append" || name == "pop")) return nullptr;
  return FindIn(std::begin(kListMethods), std::end(kListMethods), name);
}

}  // namespace darkhorse::jinja
