#include "text/template/text_functions.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/utf8.h"
#include "text/template/characters.h"
#include "text/template/spell.h"

namespace darkhorse::jinja {

const Text& TextArgument(const Value& value, std::string_view function) {
  if (value.text() != nullptr) return *value.text();
  RefuseUndefined(value);
  Fail("{} takes a string, not '{}'", function, TypeName(value));
}

int64_t IndexOr(const Value* value, int64_t otherwise, std::string_view what) {
  return value == nullptr ? otherwise : IndexOf(*value, what);
}

size_t ByteOffset(Context& context, const Text& text, int64_t character) {
  if (text.ascii()) return static_cast<size_t>(std::min(character, text.characters));
  if (character >= text.characters) return text.text.size();
  const std::string& bytes = text.bytes();
  size_t at = 0;
  for (int64_t i = 0; i < character; ++i) at += Utf8Length(bytes[at]);
  context.Touch(at);
  return at;
}

Value SliceText(Context& context, const Text& text, Span span) {
  TextBuilder out(&context);
  if (span.step == 1 && span.count > 0) {
    const size_t begin = ByteOffset(context, text, span.first);
    const size_t end = ByteOffset(context, text, span.first + span.count);
    out.AddPart(text.text, begin, end - begin);
  } else if (span.count > 0) {
    std::vector<size_t> starts;  // of every character
    context.meter()->Room(static_cast<size_t>(text.characters) * sizeof(size_t));
    for (size_t at = 0; at < text.text.size(); at += Utf8Length(text.bytes()[at])) {
      starts.push_back(at);
    }
    for (int64_t i = 0; i < span.count; ++i) {
      context.Step();
      const size_t at = starts[static_cast<size_t>(span.first + i * span.step)];
      out.AddPart(text.text, at, Utf8Length(text.bytes()[at]));
    }
  }
  return out.TakeValue(text.markup);
}

size_t FindBytes(std::string_view text, std::string_view what, size_t from) {
  if (from > text.size()) return std::string::npos;
  if (what.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, what.data(), what.size());
  if (found == nullptr) return std::string::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

Value Strip(Context& context, const Value& value, Side side, const Value* characters) {
  const Text& text = *value.text();
  const std::string& bytes = text.bytes();
  context.Touch(bytes.size());
  std::u32string set;
  if (characters != nullptr && !characters->IsNone()) {
    if (characters->text() == nullptr)
      Fail("strip takes a string, not '{}'", TypeName(*characters));
    const std::string& given = characters->text()->bytes();
    for (size_t at = 0; at < given.size();) set += NextUtf8(given, &at);
    std::sort(set.begin(), set.end());
  }
  const bool spaces = characters == nullptr || characters->IsNone();
  const auto strips = [&](char32_t c) {
    return spaces ? IsSpace(c) : std::binary_search(set.begin(), set.end(), c);
  };
  size_t begin = 0, end = bytes.size();
  while (side != Side::kRight && begin < end) {
    size_t next = begin;
    if (!strips(NextUtf8(bytes, &next))) break;
    begin = next;
  }
  while (side != Side::kLeft && end > begin) {
    size_t before = end;
    if (!strips(PreviousUtf8(bytes, &before))) break;
    end = before;
  }
  if (begin == 0 && end == bytes.size()) return value;
  TextBuilder out(&context);
  out.AddPart(text.text, begin, end - begin);
  return out.TakeValue(text.markup);
}

Value Replace(Context& context, const Text& text, const Text& from, const Text& to, int64_t count) {
  const std::string& bytes = text.bytes();
  TextBuilder out(&context);
  size_t done = 0;
  context.Touch(bytes.size());
  for (size_t at = 0; count != 0; --count) {
    const size_t found = FindBytes(bytes, from.bytes(), at);
    if (found == std::string::npos) break;
    context.Step();
    out.AddPart(text.text, done, found - done);
    out.Add(to.text);
    done = found + from.text.size();
    at = done;
    if (!from.text.empty()) continue;
    // An empty text stands before every character and at the end.
    if (found == bytes.size()) break;
    at = found + Utf8Length(bytes[found]);
  }
  out.AddPart(text.text, done, bytes.size() - done);
  return out.TakeValue(text.markup);
}

std::vector<MarkedText> SplitLines(Context& context, const MarkedText& text, bool keep_ends) {
  const std::string& bytes = text.bytes();
  std::vector<MarkedText> lines;
  context.meter()->Room(2 * bytes.size());
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = at;
    const char32_t c = NextUtf8(bytes, &at);
    if (!IsLineBreak(c)) continue;
    if (c == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    context.Step();
    lines.push_back(text.Part(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < bytes.size()) lines.push_back(text.Part(begin, bytes.size() - begin));
  return lines;
}

namespace {

// Each character through `map(character, its byte)`, which returns a text of UTF-8.
template <typename Map>
MarkedText Mapped(Context& context, const MarkedText& text, const Map& map) {
  TextBuilder out(&context);
  const std::string& bytes = text.bytes();
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const char32_t c = NextUtf8(bytes, &at);
    out.Add(map(c, begin), text.OriginAt(begin));
  }
  return out.Take();
}

std::string OneCharacter(utf8proc_int32_t c) {
  std::string text;
  AppendUtf8(static_cast<char32_t>(c), &text);
  return text;
}

// Simple case mappings, and of those that need several characters the one that occurs in words.
std::string UpperOf(char32_t c) {
  return c == 0xDF ? "SS" : OneCharacter(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
std::string TitleOf(char32_t c) {
  return c == 0xDF ? "Ss" : OneCharacter(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}
std::string LowerOf(char32_t c) {
  return OneCharacter(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

}  // namespace

MarkedText Upper(Context& context, const MarkedText& text) {
  return Mapped(context, text, [](char32_t c, size_t) { return UpperOf(c); });
}
MarkedText Lower(Context& context, const MarkedText& text) {
  return Mapped(context, text, [](char32_t c, size_t) { return LowerOf(c); });
}
MarkedText Capitalized(Context& context, const MarkedText& text) {
  return Mapped(context, text,
                [](char32_t c, size_t at) { return at == 0 ? TitleOf(c) : LowerOf(c); });
}

namespace {

[[noreturn]] void FaultFormat(std::string_view what) {
  Fail("the format {} is not supported; %s, %r, %d, %i, %.Nf and %% are", Printable(what, 40));
}

void AppendFormatted(Context& context, std::string_view spec, char type, const Value& value,
                     TextBuilder* out) {
  if (type == 's') {
    if (!spec.empty()) FaultFormat(spec);
    return AppendStr(context, value, out);
  }
  if (type == 'r') {
    if (!spec.empty()) FaultFormat(spec);
    return AppendRepr(context, value, out);
  }
  if (type == 'd' || type == 'i') {
    if (!spec.empty()) FaultFormat(spec);
    return out->Add(fmt::format("{}", IntOf(value, "%d")));
  }
  int precision = 6;
  if (spec.size() >= 2 && spec[0] == '.' && spec.size() <= 3 &&
      std::all_of(spec.begin() + 1, spec.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    precision = std::stoi(std::string(spec.substr(1)));
  } else if (!spec.empty()) {
    FaultFormat(spec);
  }
  out->Add(fmt::format("{:.{}f}", FloatOf(value, "%f"), precision));
}

}  // namespace

Value PercentFormat(Context& context, const Value& value, const Value& arguments) {
  const Text& text = *value.text();
  const std::string& bytes = text.bytes();
  const List* tuple = arguments.list();
  if (tuple != nullptr && tuple->kind != List::Kind::kTuple) tuple = nullptr;
  TextBuilder out(&context);
  size_t used = 0, done = 0;
  for (size_t at = bytes.find('%'); at != std::string::npos; at = bytes.find('%', done)) {
    context.Step();
    out.AddPart(text.text, done, at - done);
    const size_t type = bytes.find_first_not_of(".0123456789", at + 1);
    if (type == std::string::npos) Fail("incomplete format");
    const std::string_view spec = std::string_view(bytes).substr(at + 1, type - at - 1);
    done = type + 1;
    if (bytes[type] == '%') {
      out.Add("%", text.text.OriginAt(type));
      continue;
    }
    if (std::string_view("srdif").find(bytes[type]) == std::string_view::npos) {
      FaultFormat(std::string_view(bytes).substr(at, type + 1 - at));
    }
    if (used >= (tuple != nullptr ? tuple->items.size() : 1)) {
      Fail("not enough arguments for format string");
    }
    AppendFormatted(context, spec, bytes[type], tuple != nullptr ? tuple->items[used] : arguments,
                    &out);
    ++used;
  }
  // Python lets what has subscripts stay unused, for it may be a mapping.
  const bool may_stay =
      arguments.IsUndefined() || arguments.dict() != nullptr ||
      (tuple == nullptr && arguments.list() != nullptr && arguments.list()->Subscripts());
  if (used < (tuple != nullptr ? tuple->items.size() : 1) && !may_stay) {
    Fail("not all arguments converted during string formatting");
  }
  out.AddPart(text.text, done, bytes.size() - done);
  return out.TakeValue(text.markup);
}

Value BraceFormat(Context& context, const Value& value, const Arguments& arguments) {
  const Text& text = *value.text();
  const std::string& bytes = text.bytes();
  TextBuilder out(&context);
  size_t next = 0, done = 0;
  bool numbered = false;
  for (size_t at = bytes.find_first_of("{}"); at != std::string::npos;
       at = bytes.find_first_of("{}", done)) {
    context.Step();
    out.AddPart(text.text, done, at - done);
    if (at + 1 < bytes.size() && bytes[at + 1] == bytes[at]) {
      out.AddPart(text.text, at, 1);
      done = at + 2;
      continue;
    }
    const size_t close = bytes.find('}', at);
    if (bytes[at] == '}' || close == std::string::npos) Fail("a brace in a format is not closed");
    const std::string name = bytes.substr(at + 1, close - at - 1);
    done = close + 1;
    const bool number =
        !name.empty() && name.size() < 6 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (name.find_first_of(".[:!") != std::string::npos) {
      Fail("the format {{{}}} is not supported; {{}}, {{0}} and {{name}} are", Printable(name, 40));
    }
    if (name.empty() || number) {
      const size_t index = number ? static_cast<size_t>(std::stoi(name)) : next++;
      numbered |= number;
      if (numbered && next > 0) Fail("a format mixes {{}} and {{0}}");
      if (index >= arguments.positional.size()) Fail("a format has no argument {}", index);
      AppendStr(context, arguments.positional[index], &out);
      continue;
    }
    const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& argument) { return argument.first == name; });
    if (found == arguments.named.end()) Fail("a format has no argument '{}'", Printable(name, 40));
    AppendStr(context, found->second, &out);
  }
  out.AddPart(text.text, done, bytes.size() - done);
  return out.TakeValue(text.markup);
}

}  // namespace darkhorse::jinja
