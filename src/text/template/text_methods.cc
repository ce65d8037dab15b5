// Methods of Python's str.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/characters.h"
#include "text/template/spell.h"
#include "text/template/text_functions.h"

namespace darkhorse::jinja {

namespace {

// The texts of pieces of `text`, each [begin, end).
Value Pieces(Context& context, const Text& text,
             const std::vector<std::pair<size_t, size_t>>& ends) {
  std::vector<Value> items;
  items.reserve(ends.size());
  for (const auto& [begin, end] : ends) {
    items.push_back(NewText(context, text.text.Part(begin, end - begin), text.markup));
  }
  return NewList(context, std::move(items));
}

using PieceEnds = std::vector<std::pair<size_t, size_t>>;

PieceEnds SplitAtSpace(Context& context, std::string_view bytes, int64_t most) {
  PieceEnds pieces;
  size_t at = 0;
  const auto skip = [&](bool space) {
    while (at < bytes.size()) {
      size_t next = at;
      if (IsSpace(NextUtf8(bytes, &next)) != space) return;
      at = next;
    }
  };
  skip(true);
  while (at < bytes.size()) {
    context.Step();
    const size_t begin = at;
    if (most >= 0 && static_cast<int64_t>(pieces.size()) >= most) {
      pieces.emplace_back(begin, bytes.size());
      break;
    }
    skip(false);
    pieces.emplace_back(begin, at);
    skip(true);
  }
  return pieces;
}

PieceEnds SplitAtSpaceFromRight(Context& context, std::string_view bytes, int64_t most) {
  PieceEnds pieces;
  size_t at = bytes.size();
  const auto skip = [&](bool space) {
    while (at > 0) {
      size_t before = at;
      if (IsSpace(PreviousUtf8(bytes, &before)) != space) return;
      at = before;
    }
  };
  skip(true);
  while (at > 0) {
    context.Step();
    const size_t end = at;
    if (most >= 0 && static_cast<int64_t>(pieces.size()) >= most) {
      pieces.emplace_back(0, end);
      break;
    }
    skip(false);
    pieces.emplace_back(at, end);
    skip(true);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

PieceEnds SplitAt(Context& context, std::string_view bytes, std::string_view separator,
                  int64_t most) {
  PieceEnds pieces;
  size_t begin = 0;
  for (; most != 0; --most) {
    const size_t found = FindBytes(bytes, separator, begin);
    if (found == std::string::npos) break;
    context.Step();
    pieces.emplace_back(begin, found);
    begin = found + separator.size();
  }
  pieces.emplace_back(begin, bytes.size());
  return pieces;
}

std::string Reversed(std::string_view text) { return {text.rbegin(), text.rend()}; }

Value Split(Context& context, const Value& self, Arguments& arguments, bool right) {
  const auto given = Bind(right ? "rsplit" : "split", arguments, {"sep", "maxsplit"});
  const Text& text = *self.text();
  const int64_t most = IndexOr(given[1], -1, "maxsplit");
  context.Touch(text.text.size());
  context.meter()->Room(2 * text.text.size());
  if (given[0] == nullptr || given[0]->IsNone()) {
    return Pieces(context, text,
                  right ? SplitAtSpaceFromRight(context, text.bytes(), most)
                        : SplitAtSpace(context, text.bytes(), most));
  }
  const std::string& separator = TextArgument(*given[0], "split").bytes();
  if (separator.empty()) Fail("empty separator");
  if (!right) return Pieces(context, text, SplitAt(context, text.bytes(), separator, most));
  PieceEnds pieces = SplitAt(context, Reversed(text.bytes()), Reversed(separator), most);
  for (auto& [begin, end] : pieces) {
    const size_t from = text.text.size() - end;
    end = text.text.size() - begin;
    begin = from;
  }
  std::reverse(pieces.begin(), pieces.end());
  return Pieces(context, text, pieces);
}

Value Partition(Context& context, const Value& self, Arguments& arguments, bool right) {
  const auto given = Bind("partition", arguments, {"sep"}, 1);
  const Text& text = *self.text();
  const std::string& separator = TextArgument(*given[0], "partition").bytes();
  if (separator.empty()) Fail("empty separator");
  context.Touch(text.text.size());
  context.meter()->Room(2 * text.text.size());
  const size_t size = text.text.size();
  size_t at = FindBytes(text.bytes(), separator, 0);
  if (right && at != std::string::npos) {
    at = size - FindBytes(Reversed(text.bytes()), Reversed(separator), 0) - separator.size();
  }
  std::vector<Value> parts;
  const auto add = [&](size_t begin, size_t end) {
    parts.push_back(NewText(context, text.text.Part(begin, end - begin), text.markup));
  };
  if (at == std::string::npos) {
    for (int i = 0; i < 3; ++i) {
      const bool whole = i == (right ? 2 : 0);
      add(0, whole ? size : 0);
    }
  } else {
    add(0, at);
    add(at, at + separator.size());
    add(at + separator.size(), size);
  }
  return NewList(context, std::move(parts), List::Kind::kTuple);
}

bool StartsOrEnds(const Value& self, Arguments& arguments, bool ends) {
  const auto given = Bind(ends ? "endswith" : "startswith", arguments, {"prefix"}, 1);
  const std::string& text = self.text()->bytes();
  const auto fits = [&](const Value& value) {
    const std::string& affix = TextArgument(value, ends ? "endswith" : "startswith").bytes();
    return ends ? text.ends_with(affix) : text.starts_with(affix);
  };
  const List* tuple = given[0]->list();
  if (tuple == nullptr || tuple->kind != List::Kind::kTuple) return fits(*given[0]);
  return std::any_of(tuple->items.begin(), tuple->items.end(), fits);
}

// The byte where an argument's text is found first or last, or npos.
size_t Found(Context& context, const Value& self, Arguments& arguments, std::string_view function,
             bool right) {
  const auto given = Bind(function, arguments, {"sub"}, 1);
  const std::string& text = self.text()->bytes();
  const std::string& what = TextArgument(*given[0], function).bytes();
  context.Touch(2 * text.size());
  if (!right) return FindBytes(text, what, 0);
  const size_t found = FindBytes(Reversed(text), Reversed(what), 0);
  return found == std::string::npos ? found : text.size() - found - what.size();
}

Value Find(Context& context, const Value& self, Arguments& arguments, std::string_view function,
           bool right, bool must) {
  const size_t byte = Found(context, self, arguments, function, right);
  if (byte == std::string::npos) {
    if (must) Fail("substring not found");
    return {Int{-1}};
  }
  const std::string& text = self.text()->bytes();
  Int characters = 0;
  for (size_t at = 0; at < byte; at += Utf8Length(text[at])) ++characters;
  return {characters};
}

Value Count(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("count", arguments, {"sub"}, 1);
  const std::string& text = self.text()->bytes();
  const std::string& what = TextArgument(*given[0], "count").bytes();
  context.Touch(text.size());
  if (what.empty()) return {static_cast<Int>(self.text()->characters + 1)};
  Int count = 0;
  for (size_t at = 0; (at = FindBytes(text, what, at)) != std::string::npos; at += what.size()) {
    context.Step();
    ++count;
  }
  return {count};
}

Value Joined(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("join", arguments, {"iterable"}, 1);
  const auto items = Iterate(context, *given[0]);
  TextBuilder out(&context);
  for (size_t i = 0; i < items->items.size(); ++i) {
    if (i > 0) out.Add(self.text()->text);
    out.Add(TextArgument(items->items[i], "join").text);
  }
  return out.TakeValue(self.text()->markup);
}

Value WithoutAffix(Context& context, const Value& self, Arguments& arguments, bool suffix) {
  const auto given = Bind(suffix ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1);
  const std::string& affix = TextArgument(*given[0], "removeprefix").bytes();
  const MarkedText& text = self.text()->text;
  const bool there = suffix ? text.bytes().ends_with(affix) : text.bytes().starts_with(affix);
  if (!there || affix.empty()) return self;
  return NewText(context, text.Part(suffix ? 0 : affix.size(), text.size() - affix.size()),
                 self.text()->markup);
}

enum class Class { kUpper, kLower, kTitle, kLetter, kDigit, kOther };
Class ClassOf(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
      return Class::kUpper;
    case UTF8PROC_CATEGORY_LL:
      return Class::kLower;
    case UTF8PROC_CATEGORY_LT:
      return Class::kTitle;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Class::kLetter;
    case UTF8PROC_CATEGORY_ND:
      return Class::kDigit;
    default:
      return Class::kOther;
  }
}

// Whether there are characters and all are of one kind.
template <typename Is>
bool AllAre(Context& context, const Value& self, const Is& is) {
  const std::string& text = self.text()->bytes();
  context.Touch(text.size());
  for (size_t at = 0; at < text.size();) {
    if (!is(NextUtf8(text, &at))) return false;
  }
  return !text.empty();
}

// str.isupper() and islower(): no letter of the other case, and one of this.
bool IsCase(Context& context, const Value& self, Class wanted) {
  bool any = false;
  const bool none_other = AllAre(context, self, [&](char32_t c) {
    const Class of = ClassOf(c);
    any |= of == wanted;
    return of == wanted || (of != Class::kUpper && of != Class::kLower && of != Class::kTitle);
  });
  return any && none_other;
}

// str.title(): a capital wherever a letter follows something else.
Value Title(Context& context, const Value& self, Arguments&) {
  const MarkedText& text = self.text()->text;
  TextBuilder out(&context);
  size_t begin = 0;
  bool in_word = false;
  const auto flush = [&](size_t end) {
    if (begin < end) out.Add(Capitalized(context, text.Part(begin, end - begin)));
    begin = end;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const Class of = ClassOf(NextUtf8(text.bytes(), &at));
    const bool cased = of == Class::kUpper || of == Class::kLower || of == Class::kTitle;
    if (cased != in_word) flush(here);
    in_word = cased;
  }
  flush(text.size());
  return out.TakeValue(self.text()->markup);
}

template <MarkedText (*kMap)(Context&, const MarkedText&)>
Value Mapped(Context& context, const Value& self, Arguments& arguments) {
  Bind("a method that maps letters", arguments, {});
  return NewText(context, kMap(context, self.text()->text), self.text()->markup);
}

template <Side kSide>
Value Stripped(Context& context, const Value& self, Arguments& arguments) {
  return Strip(context, self, kSide, Bind("strip", arguments, {"chars"})[0]);
}

Value ReplaceMethod(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("replace", arguments, {"old", "new", "count"}, 2);
  return Replace(context, *self.text(), TextArgument(*given[0], "replace"),
                 TextArgument(*given[1], "replace"), IndexOr(given[2], -1, "count"));
}

Value SplitLinesMethod(Context& context, const Value& self, Arguments& arguments) {
  const auto given = Bind("splitlines", arguments, {"keepends"});
  std::vector<Value> lines;
  for (MarkedText& line :
       SplitLines(context, self.text()->text, given[0] != nullptr && IsTrue(*given[0]))) {
    lines.push_back(NewText(context, std::move(line), self.text()->markup));
  }
  return NewList(context, std::move(lines));
}

constexpr NamedFunction kMethods[] = {
    {"capitalize", Mapped<Capitalized>},
    {"count", Count},
    {"endswith",
     [](Context&, const Value& self, Arguments& arguments) -> Value {
       return {StartsOrEnds(self, arguments, true)};
     }},
    {"find",
     [](Context& context, const Value& self, Arguments& arguments) {
       return Find(context, self, arguments, "find", false, false);
     }},
    {"format", [](Context& context, const Value& self,
                  Arguments& arguments) { return BraceFormat(context, self, arguments); }},
    {"index",
     [](Context& context, const Value& self, Arguments& arguments) {
       return Find(context, self, arguments, "index", false, true);
     }},
    {"isalnum",
     [](Context& context, const Value& self, Arguments&) -> Value {
       return {AllAre(context, self, [](char32_t c) { return ClassOf(c) != Class::kOther; })};
     }},
    {"isalpha",
     [](Context& context, const Value& self, Arguments&) -> Value {
       return {AllAre(context, self, [](char32_t c) { return ClassOf(c) < Class::kDigit; })};
     }},
    {"isdigit",
     [](Context& context, const Value& self, Arguments&) -> Value {
       return {AllAre(context, self, [](char32_t c) { return ClassOf(c) == Class::kDigit; })};
     }},
    {"islower",
     [](Context& context, const Value& self, Arguments&) -> Value {
       return {IsCase(context, self, Class::kLower)};
     }},
    {"isspace",
     [](Context& context, const Value& self, Arguments&) -> Value {
       return {AllAre(context, self, IsSpace)};
     }},
    {"isupper",
     [](Context& context, const Value& self, Arguments&) -> Value {
       return {IsCase(context, self, Class::kUpper)};
     }},
    {"join", Joined},
    {"lower", Mapped<Lower>},
    {"lstrip", Stripped<Side::kLeft>},
    {"partition", [](Context& context, const Value& self,
                     Arguments& arguments) { return Partition(context, self, arguments, false); }},
    {"removeprefix",
     [](Context& context, const Value& self, Arguments& arguments) {
       return WithoutAffix(context, self, arguments, false);
     }},
    {"removesuffix",
     [](Context& context, const Value& self, Arguments& arguments) {
       return WithoutAffix(context, self, arguments, true);
     }},
    {"replace", ReplaceMethod},
    {"rfind",
     [](Context& context, const Value& self, Arguments& arguments) {
       return Find(context, self, arguments, "rfind", true, false);
     }},
    {"rindex",
     [](Context& context, const Value& self, Arguments& arguments) {
       return Find(context, self, arguments, "rindex", true, true);
     }},
    {"rpartition", [](Context& context, const Value& self,
                      Arguments& arguments) { return Partition(context, self, arguments, true); }},
    {"rsplit", [](Context& context, const Value& self,
                  Arguments& arguments) { return Split(context, self, arguments, true); }},
    {"rstrip", Stripped<Side::kRight>},
    {"split", [](Context& context, const Value& self,
                 Arguments& arguments) { return Split(context, self, arguments, false); }},
    {"splitlines", SplitLinesMethod},
    {"startswith",
     [](Context&, const Value& self, Arguments& arguments) -> Value {
       return {StartsOrEnds(self, arguments, false)};
     }},
    {"strip", Stripped<Side::kBoth>},
    {"title", Title},
    {"upper", Mapped<Upper>},
};

}  // namespace

MethodFunction FindTextMethod(std::string_view name) {
  const auto* found = std::lower_bound(
      std::begin(kMethods), std::end(kMethods), name,
      [](const NamedFunction& method, std::string_view wanted) { return method.name < wanted; });
  return found != std::end(kMethods) && found->name == name ? found->function : nullptr;
}

}  // namespace darkhorse::jinja
