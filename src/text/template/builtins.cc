#include "text/template/builtins.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "base/nearest_name.h"
#include "text/template/spell.h"

namespace darkhorse::jinja {

std::vector<const Value*> Bind(std::string_view function, const Arguments& arguments,
                               std::initializer_list<std::string_view> parameters,
                               size_t required) {
  if (arguments.positional.size() > parameters.size()) {
    Fail("{} takes at most {} arguments, not {}", function, parameters.size(),
         arguments.positional.size());
  }
  std::vector<const Value*> bound(std::max<size_t>(parameters.size(), 1));
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto* found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) Fail("{} takes no argument '{}'", function, Printable(name));
    const Value*& place = bound[static_cast<size_t>(found - parameters.begin())];
    if (place != nullptr) Fail("{} is given '{}' twice", function, name);
    place = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i] == nullptr) Fail("{} needs '{}'", function, *(parameters.begin() + i));
  }
  return bound;
}

namespace {

const std::map<std::string_view, FilterFunction>& Filters() {
  static const auto* filters = [] {
    auto* all = new std::map<std::string_view, FilterFunction>;
    for (const auto& table : {ValueFilters(), TextFilters(), ListFilters()}) {
      for (const NamedFunction& filter : table) all->emplace(filter.name, filter.function);
    }
    return all;
  }();
  return *filters;
}

Value Range(Context& context, Arguments& arguments) {
  const size_t count = arguments.positional.size();
  if (count < 1 || count > 3 || !arguments.named.empty()) Fail("range takes 1 to 3 integers");
  const auto argument = [&](size_t i) { return Int{IndexOf(arguments.positional[i], "range")}; };
  const Int start = count == 1 ? 0 : argument(0);
  const Int stop = argument(count == 1 ? 0 : 1);
  const Int step = count == 3 ? argument(2) : 1;
  if (step == 0) Fail("range() arg 3 must not be zero");
  const Int distance = step > 0 ? stop - start : start - stop;
  const Int size = distance <= 0 ? 0 : (distance - 1) / (step > 0 ? step : -step) + 1;
  if (size > 100'000) Fail("a range of more than 100000 items");
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(size));
  for (Int i = 0; i < size; ++i) items.push_back({start + i * step});
  Value range = NewList(context, std::move(items), List::Kind::kRange);
  range.list()->start = start;
  range.list()->stop = stop;
  range.list()->step = step;
  return range;
}

Value MakeDict(Context& context, Arguments& arguments) {
  if (arguments.positional.size() > 1) Fail("dict takes at most one argument");
  DictBuilder dict(&context);
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.dict() != nullptr) {
      for (const auto& [key, value] : from.dict()->entries) dict.Set(key, value);
    } else {
      const auto pairs = Iterate(context, from);
      for (const Value& pair : pairs->items) {
        const auto two = Iterate(context, pair);
        if (two->items.size() != 2) Fail("dict takes pairs of a key and a value");
        dict.Set(two->items[0], two->items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict.Set(NewText(context, name), value);
  return dict.Take();
}

Value MakeNamespace(Context& context, Arguments& arguments) {
  auto space = std::make_shared<Namespace>();
  space->fields.charge = Charge(context.meter(), sizeof(Namespace));
  const auto named = std::exchange(arguments.named, {});
  const Value from = MakeDict(context, arguments);
  const auto set = [&](std::string_view name, const Value& value) {
    if (name.starts_with('_')) Fail("a field of a namespace may not begin with '_'");
    SetField(context, space.get(), name, value);
  };
  for (const auto& [key, value] : from.dict()->entries) {
    if (key.text() == nullptr) Fail("a field of a namespace is named by a string");
    set(key.text()->bytes(), value);
  }
  for (const auto& [name, value] : named) set(name, value);
  return {context.Own(std::move(space))};
}

Value RaiseException(Context& context, Arguments& arguments) {
  const auto given = Bind("raise_exception", arguments, {"message"}, 1);
  Fail("the template refuses this: {}", Printable(StrOf(context, *given[0]).bytes(), 400));
}

Value StrftimeNow(Context& context, Arguments& arguments) {
  const auto given = Bind("strftime_now", arguments, {"format"}, 1);
  if (given[0]->text() == nullptr) Fail("strftime_now takes a string");
  const std::string& format = given[0]->text()->bytes();
  if (format.size() > 200) Fail("a format of time is longer than 200 bytes");
  char buffer[4096];
  // A byte more, for 0 is also the size of an empty time.
  const size_t size =
      std::strftime(buffer, sizeof(buffer), (format + " ").c_str(), &*context.now());
  if (size == 0) Fail("a time is longer than {} bytes", sizeof(buffer));
  return NewText(context, std::string_view(buffer, size - 1));
}

constexpr Function kGlobals[] = {{"dict", MakeDict},
                                 {"namespace", MakeNamespace},
                                 {"raise_exception", RaiseException},
                                 {"range", Range},
                                 {"strftime_now", StrftimeNow}};

}  // namespace

FilterFunction FindFilter(std::string_view name) {
  const auto found = Filters().find(name);
  return found == Filters().end() ? nullptr : found->second;
}

std::string FilterHint(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, function] : Filters()) names.emplace_back(known);
  return DidYouMean(name, names);
}

const Function* FindGlobal(std::string_view name) {
  const auto* found = std::find_if(std::begin(kGlobals), std::end(kGlobals),
                                   [&](const Function& function) { return function.name == name; });
  return found == std::end(kGlobals) ? nullptr : found;
}

}  // namespace darkhorse::jinja
