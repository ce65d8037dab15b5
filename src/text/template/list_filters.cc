// Filters over lists and dicts.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "text/template/builtins.h"
#include "text/template/spell.h"
#include "text/template/text_functions.h"

namespace darkhorse::jinja {

namespace {

bool Flag(const Value* value) { return value != nullptr && IsTrue(*value); }

Value Generator(Context& context, std::vector<Value> items) {
  return NewList(context, std::move(items), List::Kind::kGenerator);
}

// value.a.b for "a.b"; parts that are numbers are indices.
Value ByPath(Context& context, const Value& value, std::string_view path) {
  Value found = value;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = !part.empty() && part[0] != '-' && read.ec == std::errc() &&
                        read.ptr == part.data() + part.size();
    found = Item(context, found, number ? Value{Int{index}} : NewText(context, part));
    begin = end + 1;
  }
  return found;
}

Value ByAttribute(Context& context, const Value& value, const Value* attribute) {
  if (attribute == nullptr || attribute->IsNone()) return value;
  if (const Text* path = attribute->text()) return ByPath(context, value, path->bytes());
  return Item(context, value, *attribute);
}

Value IgnoringCase(Context& context, const Value& value, bool case_sensitive) {
  if (case_sensitive || value.text() == nullptr) return value;
  return NewText(context, Lower(context, value.text()->text));
}

// What a filter compares an item by: itself or an attribute, without case unless that is wanted.
Value KeyFor(Context& context, const Value& item, const Value* attribute, bool case_sensitive) {
  return IgnoringCase(context, ByAttribute(context, item, attribute), case_sensitive);
}

// The items in the order of their keys, equal ones as they were.
std::vector<Value> Sorted(Context& context, const std::vector<Value>& items,
                          const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? IsLess(context, keys[b], keys[a]) : IsLess(context, keys[a], keys[b]);
  });
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const size_t i : order) sorted.push_back(items[i]);
  return sorted;
}

Value Sort(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const auto items = Iterate(context, value);
  std::vector<Value> keys;
  const Text* paths = given[2] == nullptr ? nullptr : given[2]->text();
  for (const Value& item : items->items) {
    // A list even for one attribute: jinja2 compares lists, in which undefined values are equal.
    std::vector<Value> key;
    if (paths == nullptr) {
      key.push_back(KeyFor(context, item, given[2], Flag(given[1])));
    } else {
      const std::string_view all = paths->bytes();
      for (size_t begin = 0; begin <= all.size();) {
        const size_t end = std::min(all.find(',', begin), all.size());
        key.push_back(IgnoringCase(context, ByPath(context, item, all.substr(begin, end - begin)),
                                   Flag(given[1])));
        begin = end + 1;
      }
    }
    keys.push_back(NewList(context, std::move(key)));
  }
  return NewList(context, Sorted(context, items->items, keys, Flag(given[0])));
}

Value DictSort(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const Dict* dict = value.dict();
  if (dict == nullptr) Fail("dictsort takes a dict, not '{}'", TypeName(value));
  bool by_value = false;
  if (given[1] != nullptr) {
    const Text* by = given[1]->text();
    by_value = by != nullptr && by->bytes() == "value";
    if (by == nullptr || (!by_value && by->bytes() != "key")) {
      Fail("dictsort sorts by 'key' or 'value'");
    }
  }
  std::vector<Value> pairs, keys;
  for (const auto& [key, item] : dict->entries) {
    pairs.push_back(NewList(context, {key, item}, List::Kind::kTuple));
    keys.push_back(IgnoringCase(context, by_value ? item : key, Flag(given[0])));
  }
  return NewList(context, Sorted(context, pairs, keys, Flag(given[2])));
}

Value Unique(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("unique", arguments, {"case_sensitive", "attribute"});
  const auto items = Iterate(context, value);
  DictBuilder seen(&context);
  std::vector<Value> kept;
  std::unordered_map<std::string, bool> keys;
  for (const Value& item : items->items) {
    const Value key = KeyFor(context, item, given[1], Flag(given[0]));
    if (keys.emplace(KeyOf(context, key), true).second) kept.push_back(item);
  }
  return Generator(context, std::move(kept));
}

Value Extreme(Context& context, const Value& value, Arguments& arguments, bool largest) {
  const auto given = Bind(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const auto items = Iterate(context, value);
  if (items->items.empty()) return UndefinedBecause("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key = KeyFor(context, items->items[0], given[1], Flag(given[0]));
  for (size_t i = 1; i < items->items.size(); ++i) {
    Value key = KeyFor(context, items->items[i], given[1], Flag(given[0]));
    if (!(largest ? IsLess(context, best_key, key) : IsLess(context, key, best_key))) continue;
    best = i;
    best_key = std::move(key);
  }
  return items->items[best];
}

Value Sum(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("sum", arguments, {"attribute", "start"});
  Value sum = given[1] != nullptr ? *given[1] : Value{Int{0}};
  const auto items = Iterate(context, value);
  for (const Value& item : items->items) {
    sum = Arithmetic(context, Operator::kAdd, sum, ByAttribute(context, item, given[0]));
  }
  return sum;
}

Value Join(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("join", arguments, {"d", "attribute"});
  const MarkedText separator = given[0] == nullptr ? MarkedText() : StrOf(context, *given[0]);
  const auto items = Iterate(context, value);
  TextBuilder out(&context);
  for (size_t i = 0; i < items->items.size(); ++i) {
    if (i > 0) out.Add(separator);
    AppendStr(context, ByAttribute(context, items->items[i], given[1]), &out);
  }
  return out.TakeValue();
}

// `f('name', ...)`: the filter or test of that name, and what it is handed.
Arguments WithoutFirst(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

std::string NameArgument(const Value& value, std::string_view function) {
  if (value.text() == nullptr) Fail("{} takes a name, not '{}'", function, TypeName(value));
  return value.text()->bytes();
}

Value Map(Context& context, const Value& value, Arguments& arguments) {
  if (!IsTrue(value)) return Generator(context, {});  // none, too
  const auto items = Iterate(context, value);
  std::vector<Value> mapped;
  if (arguments.positional.empty()) {
    const auto given = Bind("map", arguments, {"attribute", "default"});
    if (given[0] == nullptr) Fail("map requires a filter argument");
    for (const Value& item : items->items) {
      Value found = ByAttribute(context, item, given[0]);
      const bool replaced = found.IsUndefined() && given[1] != nullptr;
      mapped.push_back(replaced ? *given[1] : std::move(found));
    }
    return Generator(context, std::move(mapped));
  }
  const std::string name = NameArgument(arguments.positional[0], "map");
  const FilterFunction filter = FindFilter(name);
  if (filter == nullptr) Fail("no filter '{}'{}", Printable(name), FilterHint(name));
  for (const Value& item : items->items) {
    Arguments rest = WithoutFirst(arguments, 1);
    mapped.push_back(filter(context, item, rest));
  }
  return Generator(context, std::move(mapped));
}

// The items that pass a test, or do not: select, reject, selectattr and rejectattr.
Value Select(Context& context, const Value& value, Arguments& arguments, bool keep,
             bool by_attribute) {
  if (!IsTrue(value)) return Generator(context, {});  // none, too
  const size_t first = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty()) Fail("selectattr needs an attribute");
  TestFunction test = nullptr;
  if (arguments.positional.size() > first) {
    const Value& asked = arguments.positional[first];
    const std::string name = NameArgument(asked, "select");
    test = FindTest(name);
    if (test == nullptr) Fail("no test '{}'{}", Printable(name), TestHint(name));
  }
  const auto items = Iterate(context, value);
  std::vector<Value> kept;
  for (const Value& item : items->items) {
    const Value tested = by_attribute ? ByAttribute(context, item, &arguments.positional[0]) : item;
    bool passes = false;
    if (test == nullptr) {
      passes = IsTrue(tested);
    } else {
      Arguments rest = WithoutFirst(arguments, first + 1);
      passes = test(context, tested, rest);
    }
    if (passes == keep) kept.push_back(item);
  }
  return Generator(context, std::move(kept));
}

template <bool kKeep, bool kByAttribute>
Value Selected(Context& context, const Value& value, Arguments& arguments) {
  return Select(context, value, arguments, kKeep, kByAttribute);
}

Value Reverse(Context& context, const Value& value, Arguments& arguments) {
  Bind("reverse", arguments, {});
  if (const Text* text = value.text()) {
    return SliceText(context, *text, {text->characters - 1, -1, text->characters});
  }
  std::vector<Value> items = Iterate(context, value)->items;
  std::reverse(items.begin(), items.end());
  return Generator(context, std::move(items));
}

Value First(Context& context, const Value& value, Arguments& arguments) {
  Bind("first", arguments, {});
  const auto items = Iterate(context, value);
  return items->items.empty() ? UndefinedBecause("No first item, sequence was empty.")
                              : items->items.front();
}

Value Last(Context& context, const Value& value, Arguments& arguments) {
  Bind("last", arguments, {});
  if (value.list() != nullptr && !value.list()->HasLength()) {
    Fail("a generator cannot be reversed; make it a |list first");
  }
  const auto items = Iterate(context, value);
  return items->items.empty() ? UndefinedBecause("No last item, sequence was empty.")
                              : items->items.back();
}

Value ItemsFilter(Context& context, const Value& value, Arguments& arguments) {
  Bind("items", arguments, {});
  std::vector<Value> pairs;
  if (!value.IsUndefined()) {
    const Dict* dict = value.dict();
    if (dict == nullptr) Fail("Can only get item pairs from a mapping.");
    for (const auto& [key, item] : dict->entries) {
      pairs.push_back(NewList(context, {key, item}, List::Kind::kTuple));
    }
  }
  return Generator(context, std::move(pairs));
}

Value Batch(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = IndexOf(*given[0], "linecount");
  const auto items = Iterate(context, value);
  std::vector<Value> batches, batch;
  for (const Value& item : items->items) {
    if (static_cast<int64_t>(batch.size()) == size) {
      batches.push_back(NewList(context, std::exchange(batch, {})));
    }
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (given[1] != nullptr && !given[1]->IsNone() && static_cast<int64_t>(batch.size()) < size) {
      context.meter()->Room(static_cast<size_t>(std::min(size, int64_t{1} << 40)) * sizeof(Value));
      batch.resize(static_cast<size_t>(size), *given[1]);
    }
    batches.push_back(NewList(context, std::move(batch)));
  }
  return Generator(context, std::move(batches));
}

Value SliceFilter(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t slices = IndexOf(*given[0], "slices");
  const auto items = Iterate(context, value);
  if (slices == 0) Fail("division by zero");
  const auto length = static_cast<int64_t>(items->items.size());
  std::vector<Value> parts;
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    context.Step();
    const bool longer = i < length % slices;
    const int64_t end = begin + length / slices + (longer ? 1 : 0);
    std::vector<Value> part(items->items.begin() + begin, items->items.begin() + end);
    if (given[1] != nullptr && !given[1]->IsNone() && !longer) part.push_back(*given[1]);
    parts.push_back(NewList(context, std::move(part)));
    begin = end;
  }
  return Generator(context, std::move(parts));
}

}  // namespace

std::vector<NamedFunction> ListFilters() {
  const MethodFunction length = [](Context&, const Value& value, Arguments&) -> Value {
    return {static_cast<Int>(Length(value))};
  };
  return {{"batch", Batch},
          {"count", length},
          {"dictsort", DictSort},
          {"first", First},
          {"items", ItemsFilter},
          {"join", Join},
          {"last", Last},
          {"length", length},
          {"list", [](Context& context, const Value& value,
                      Arguments&) { return NewList(context, Iterate(context, value)->items); }},
          {"map", Map},
          {"max", [](Context& context, const Value& value,
                     Arguments& arguments) { return Extreme(context, value, arguments, true); }},
          {"min", [](Context& context, const Value& value,
                     Arguments& arguments) { return Extreme(context, value, arguments, false); }},
          {"reject", Selected<false, false>},
          {"rejectattr", Selected<false, true>},
          {"reverse", Reverse},
          {"select", Selected<true, false>},
          {"selectattr", Selected<true, true>},
          {"slice", SliceFilter},
          {"sort", Sort},
          {"sum", Sum},
          {"unique", Unique}};
}

}  // namespace darkhorse::jinja
