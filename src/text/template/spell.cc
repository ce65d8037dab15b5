#include "text/template/spell.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace darkhorse::jinja {

namespace {

// str.isprintable() of one character.
bool IsPrintable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

// Copies the text, but what `escape(character)` spells in another way (an empty string: as it is).
// The spelling has the origin of its character.
template <typename Escape>
void AppendEscaped(const MarkedText& text, const Escape& escape, TextBuilder* out) {
  const std::string& bytes = text.bytes();
  size_t done = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const std::string spelling = escape(NextUtf8(bytes, &at));
    if (spelling.empty()) continue;
    out->AddPart(text, done, begin - done);
    out->Add(spelling, text.OriginAt(begin));
    done = at;
  }
  out->AddPart(text, done, bytes.size() - done);
}

void AppendQuoted(const MarkedText& text, TextBuilder* out) {
  const bool single =
      text.bytes().find('\'') == std::string::npos || text.bytes().find('"') != std::string::npos;
  const char32_t quote = single ? '\'' : '"';
  out->Add(single ? "'" : "\"");
  AppendEscaped(
      text,
      [&](char32_t c) -> std::string {
        if (c == quote || c == '\\') return {'\\', static_cast<char>(c)};
        if (c == '\n') return "\\n";
        if (c == '\r') return "\\r";
        if (c == '\t') return "\\t";
        if (IsPrintable(c)) return "";
        const auto code = static_cast<uint32_t>(c);
        return c <= 0xFF     ? fmt::format("\\x{:02x}", code)
               : c <= 0xFFFF ? fmt::format("\\u{:04x}", code)
                             : fmt::format("\\U{:08x}", code);
      },
      out);
  out->Add(single ? "'" : "\"");
}

void AppendJsonText(const MarkedText& text, bool ensure_ascii, TextBuilder* out) {
  out->Add("\"");
  AppendEscaped(
      text,
      [&](char32_t c) -> std::string {
        if (c == '"' || c == '\\') return {'\\', static_cast<char>(c)};
        if (c == '\n') return "\\n";
        if (c == '\r') return "\\r";
        if (c == '\t') return "\\t";
        if (c == '\f') return "\\f";
        if (c == '\b') return "\\b";
        const auto code = static_cast<uint32_t>(c);
        if (c < 0x20 || (ensure_ascii && c > 0x7E && c <= 0xFFFF)) {
          return fmt::format("\\u{:04x}", code);
        }
        if (!ensure_ascii || c <= 0xFFFF) return "";
        return fmt::format("\\u{:04x}\\u{:04x}", 0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF));
      },
      out);
  out->Add("\"");
}

// "[", items, "]" as Python's lists, tuples and dicts are written.
template <typename Item>
void AppendJoined(std::string_view open, size_t count, const Item& item, std::string_view close,
                  TextBuilder* out) {
  out->Add(open);
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out->Add(", ");
    item(i);
  }
  out->Add(close);
}

void AppendDictRepr(Context& context, const Dict& dict, TextBuilder* out) {
  const auto entry = [&](size_t i) {
    AppendRepr(context, dict.entries[i].first, out);
    out->Add(": ");
    AppendRepr(context, dict.entries[i].second, out);
  };
  AppendJoined("{", dict.entries.size(), entry, "}", out);
}

void AppendListRepr(Context& context, const List& list, TextBuilder* out) {
  const auto item = [&](size_t i) { AppendRepr(context, list.items[i], out); };
  const size_t size = list.items.size();
  switch (list.kind) {
    case List::Kind::kList:
      return AppendJoined("[", size, item, "]", out);
    case List::Kind::kTuple:
      return AppendJoined("(", size, item, size == 1 ? ",)" : ")", out);
    case List::Kind::kRange:
      return out->Add(list.step == 1
                          ? fmt::format("range({}, {})", list.start, list.stop)
                          : fmt::format("range({}, {}, {})", list.start, list.stop, list.step));
    case List::Kind::kKeys:
      return AppendJoined("dict_keys([", size, item, "])", out);
    case List::Kind::kValues:
      return AppendJoined("dict_values([", size, item, "])", out);
    case List::Kind::kItems:
      return AppendJoined("dict_items([", size, item, "])", out);
    case List::Kind::kGenerator:
      out->Add("<generator object>");
  }
}

void AppendNewline(const JsonStyle& style, int level, TextBuilder* out) {
  if (!style.indent) return;
  out->Add("\n");
  for (int i = 0; i < level; ++i) out->Add(*style.indent);
}

void AppendJsonKey(Context& context, const Value& key, const JsonStyle& style, TextBuilder* out) {
  if (const Text* text = key.text()) {
    return AppendJsonText(text->text, style.ensure_ascii, out);
  }
  if (!key.IsNumber() && !key.IsNone()) {
    Fail("keys of JSON must be str, int, float, bool or None, not {}", TypeName(key));
  }
  out->Add("\"");
  AppendJson(context, key, style, out);
  out->Add("\"");
}

void AppendJsonAt(Context& context, const Value& value, const JsonStyle& style, int level,
                  TextBuilder* out) {
  context.Step();
  if (value.IsNone()) return out->Add("null");
  if (const auto* truth = std::get_if<bool>(&value.v)) return out->Add(*truth ? "true" : "false");
  if (const auto* integer = std::get_if<Int>(&value.v))
    return out->Add(fmt::format("{}", *integer));
  if (const auto* number = std::get_if<double>(&value.v)) {
    if (std::isnan(*number)) return out->Add("NaN");
    if (std::isinf(*number)) return out->Add(*number < 0 ? "-Infinity" : "Infinity");
    return out->Add(FloatSpelling(*number));
  }
  if (const Text* text = value.text()) return AppendJsonText(text->text, style.ensure_ascii, out);
  const auto joined = [&](std::string_view open, size_t size, const auto& item,
                          std::string_view close) {
    out->Add(open);
    for (size_t i = 0; i < size; ++i) {
      if (i > 0) out->Add(style.item_separator);
      AppendNewline(style, level + 1, out);
      item(i);
    }
    if (size > 0) AppendNewline(style, level, out);
    out->Add(close);
  };
  const List* list = value.list();
  if (list != nullptr && list->kind <= List::Kind::kTuple) {
    return joined(
        "[", list->items.size(),
        [&](size_t i) { AppendJsonAt(context, list->items[i], style, level + 1, out); }, "]");
  }
  const Dict* dict = value.dict();
  if (dict == nullptr) Fail("Object of type {} is not JSON serializable", TypeName(value));
  std::vector<size_t> order(dict->entries.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (style.sort_keys) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return IsLess(context, dict->entries[a].first, dict->entries[b].first);
    });
  }
  joined(
      "{", order.size(),
      [&](size_t i) {
        const auto& [key, item] = dict->entries[order[i]];
        AppendJsonKey(context, key, style, out);
        out->Add(style.key_separator);
        AppendJsonAt(context, item, style, level + 1, out);
      },
      "}");
}

}  // namespace

void AppendStr(Context& context, const Value& value, TextBuilder* out) {
  if (value.IsUndefined()) return;
  if (const Text* text = value.text()) return out->Add(text->text);
  AppendRepr(context, value, out);
}

MarkedText StrOf(Context& context, const Value& value) {
  if (const Text* text = value.text()) {
    context.Touch(text->text.size());
    context.meter()->Room(text->text.size());
    return text->text;
  }
  TextBuilder out(&context);
  AppendStr(context, value, &out);
  return out.Take();
}

Value AsText(Context& context, const Value& value) {
  return value.text() != nullptr ? value : NewText(context, StrOf(context, value));
}

void AppendRepr(Context& context, const Value& value, TextBuilder* out) {
  context.Step();
  if (value.IsUndefined()) return out->Add("Undefined");
  if (value.IsNone()) return out->Add("None");
  if (const auto* truth = std::get_if<bool>(&value.v)) return out->Add(*truth ? "True" : "False");
  if (const auto* integer = std::get_if<Int>(&value.v))
    return out->Add(fmt::format("{}", *integer));
  if (const auto* number = std::get_if<double>(&value.v)) return out->Add(FloatSpelling(*number));
  if (const Text* text = value.text()) {
    if (text->markup) out->Add("Markup(");
    AppendQuoted(text->text, out);
    if (text->markup) out->Add(")");
    return;
  }
  if (const List* list = value.list()) return AppendListRepr(context, *list, out);
  if (const Dict* dict = value.dict()) return AppendDictRepr(context, *dict, out);
  if (const Namespace* space = value.space()) {
    const Context::Nested nested(&context);  // a namespace may hold itself
    out->Add("<Namespace ");
    AppendDictRepr(context, space->fields, out);
    return out->Add(">");
  }
  out->Add(fmt::format("<{}>", TypeName(value)));
}

void AppendJson(Context& context, const Value& value, const JsonStyle& style, TextBuilder* out) {
  AppendJsonAt(context, value, style, 0, out);
}

std::string FloatSpelling(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view shortest(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = shortest.find('e');
  int exponent = 0;
  const size_t digits = e + (shortest[e + 1] == '+' ? 2 : 1);
  std::from_chars(shortest.data() + digits, shortest.data() + shortest.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  const auto fixed_end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string fixed(buffer, fixed_end.ptr);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

MarkedText EscapeHtml(Context& context, const MarkedText& text) {
  TextBuilder out(&context);
  AppendEscaped(
      text,
      [](char32_t c) -> std::string {
        switch (c) {
          case '&':
            return "&amp;";
          case '<':
            return "&lt;";
          case '>':
            return "&gt;";
          case '"':
            return "&#34;";
          case '\'':
            return "&#39;";
          default:
            return "";
        }
      },
      &out);
  return out.Take();
}

}  // namespace darkhorse::jinja
