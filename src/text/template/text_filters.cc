// Filters that make a text of their input first.
#include <algorithm>

#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/characters.h"
#include "text/template/spell.h"
#include "text/template/text_functions.h"

namespace darkhorse::jinja {

namespace {

// The method of that name, of the input made a text.
Value OfText(Context& context, const Value& value, Arguments& arguments, std::string_view method) {
  return FindTextMethod(method)(context, AsText(context, value), arguments);
}

// A capital behind white space, '-' or an opening bracket; all else small.
Value TitleFilter(Context& context, const Value& value, Arguments& arguments) {
  Bind("title", arguments, {});
  const Value self = AsText(context, value);
  const MarkedText& text = self.text()->text;
  TextBuilder out(&context);
  size_t begin = 0;
  bool separates = false;
  const auto flush = [&](size_t end) {
    if (begin < end) out.Add(Capitalized(context, text.Part(begin, end - begin)));
    begin = end;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const char32_t c = NextUtf8(text.bytes(), &at);
    const bool separator = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    if (separator != separates) flush(here);
    separates = separator;
  }
  flush(text.size());
  return out.TakeValue();
}

Value ReplaceFilter(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("replace", arguments, {"old", "new", "count"}, 2);
  const bool all = given[2] == nullptr || given[2]->IsNone();
  const Value text = NewText(context, StrOf(context, value));  // str(), so no longer markup
  return Replace(context, *text.text(), *AsText(context, *given[0]).text(),
                 *AsText(context, *given[1]).text(), all ? -1 : IndexOf(*given[2], "count"));
}

Value Indent(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("indent", arguments, {"width", "first", "blank"});
  const Text& text = TextArgument(value, "indent");
  MarkedText indention(std::string(4, ' '), Origin::kTemplate);
  if (given[0] != nullptr) {
    if (given[0]->text() != nullptr) {
      indention = given[0]->text()->text;
    } else {
      const auto width = static_cast<size_t>(std::max<int64_t>(IndexOf(*given[0], "width"), 0));
      context.meter()->Room(width);
      indention = MarkedText(std::string(width, ' '), Origin::kTemplate);
    }
  }
  const bool blank = given[2] != nullptr && IsTrue(*given[2]);
  TextBuilder out(&context);
  if (given[1] != nullptr && IsTrue(*given[1])) out.Add(indention);
  MarkedText whole = text.text;
  whole.Append("\n", Origin::kTemplate);  // so that an empty line at the end is one, as in jinja2
  const std::vector<MarkedText> lines = SplitLines(context, whole, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out.Add("\n");
      if (blank || !lines[i].empty()) out.Add(indention);
    }
    out.Add(lines[i]);
  }
  return out.TakeValue(text.markup);
}

Value Truncate(Context& context, const Value& value, Arguments& arguments) {
  const auto given = Bind("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const Text& text = TextArgument(value, "truncate");
  const int64_t length = IndexOr(given[0], 255, "length");
  const bool leeway_given = given[3] != nullptr && !given[3]->IsNone();
  const int64_t leeway = leeway_given ? IndexOf(*given[3], "leeway") : 5;
  const Value end = given[2] != nullptr ? *given[2] : NewText(context, "...");
  const Text& tail = TextArgument(end, "truncate");
  if (length < tail.characters || leeway < 0) {
    Fail("truncate needs a length of at least {} and a leeway of at least 0", tail.characters);
  }
  if (text.characters <= length + leeway) return value;
  size_t keep = ByteOffset(context, text, length - tail.characters);
  if (given[1] == nullptr || !IsTrue(*given[1])) {
    const size_t space = keep == 0 ? std::string::npos : text.bytes().rfind(' ', keep - 1);
    if (space != std::string::npos) keep = space;
  }
  TextBuilder out(&context);
  out.AddPart(text.text, 0, keep);
  out.Add(tail.text);
  return out.TakeValue(text.markup);
}

Value Format(Context& context, const Value& value, Arguments& arguments) {
  if (!arguments.named.empty()) Fail("format takes no named arguments here");
  return PercentFormat(context, AsText(context, value),
                       NewList(context, std::move(arguments.positional), List::Kind::kTuple));
}

Value Safe(Context& context, const Value& value, Arguments&) {
  return NewText(context, StrOf(context, value), /*markup=*/true);
}

Value Escape(Context& context, const Value& value, Arguments& arguments) {
  if (value.text() != nullptr && value.text()->markup) return value;
  Bind("escape", arguments, {});
  return NewText(context, EscapeHtml(context, StrOf(context, value)), /*markup=*/true);
}

Value Capitalize(Context& context, const Value& value, Arguments& arguments) {
  return OfText(context, value, arguments, "capitalize");
}
Value LowerFilter(Context& context, const Value& value, Arguments& arguments) {
  return OfText(context, value, arguments, "lower");
}
Value UpperFilter(Context& context, const Value& value, Arguments& arguments) {
  return OfText(context, value, arguments, "upper");
}
Value Trim(Context& context, const Value& value, Arguments& arguments) {
  return OfText(context, value, arguments, "strip");
}

}  // namespace

std::vector<NamedFunction> TextFilters() {
  return {{"capitalize", Capitalize},
          {"e", Escape},
          {"escape", Escape},
          {"format", Format},
          {"indent", Indent},
          {"lower", LowerFilter},
          {"replace", ReplaceFilter},
          {"safe", Safe},
          {"string",
           [](Context& context, const Value& value, Arguments&) { return AsText(context, value); }},
          {"title", TitleFilter},
          {"trim", Trim},
          {"truncate", Truncate},
          {"upper", UpperFilter}};
}

}  // namespace darkhorse::jinja
