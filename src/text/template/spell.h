// How values are spelt: Python's str() and repr(), and its json.dumps().
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "text/template/value.h"

namespace darkhorse::jinja {

// Text that grows within the limits.
class TextBuilder {
 public:
  explicit TextBuilder(Context* context) : context_(context), charge_(context->meter(), 0) {}

  void Add(std::string_view bytes, Origin origin = Origin::kTemplate) {
    Account(bytes.size());
    text_.Append(bytes, origin);
  }
  void Add(const MarkedText& text) { AddPart(text, 0, text.size()); }
  void AddPart(const MarkedText& text, size_t begin, size_t size) {
    Account(size);
    text_.AppendPart(text, begin, size);
  }
  size_t size() const { return text_.size(); }
  MarkedText Take() {
    charge_ = Charge();
    return std::exchange(text_, {});
  }
  Value TakeValue(bool markup = false) { return NewText(*context_, Take(), markup); }

 private:
  void Account(size_t bytes) {
    context_->Touch(bytes);
    charge_.Grow(bytes);
  }

  Context* context_;
  Charge charge_;
  MarkedText text_;
};

// str(): what `{{ value }}` prints.
void AppendStr(Context& context, const Value& value, TextBuilder* out);
MarkedText StrOf(Context& context, const Value& value);
// The value itself if it is a text, else str() of it.
Value AsText(Context& context, const Value& value);
// repr(): a text in quotes, as it is printed within a list.
void AppendRepr(Context& context, const Value& value, TextBuilder* out);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // none: all on one line
  MarkedText item_separator{", ", Origin::kTemplate};
  MarkedText key_separator{": ", Origin::kTemplate};
};
// Error: a value that JSON has no form for.
void AppendJson(Context& context, const Value& value, const JsonStyle& style, TextBuilder* out);

// Python's shortest spelling of a float that reads back as the same: 1.0, 1e-05, 1e+16, inf.
std::string FloatSpelling(double value);

// `&`, `<`, `>` and quotes as HTML entities.
MarkedText EscapeHtml(Context& context, const MarkedText& text);

}  // namespace darkhorse::jinja
