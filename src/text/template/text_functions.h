// Python's str, as far as templates call it. Positions are characters outside and bytes inside.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/template/builtins.h"

namespace darkhorse::jinja {

// The argument of a function as a text. Error: it is none.
const Text& TextArgument(const Value& value, std::string_view function);
// The argument as an index, or what stands for an absent one.
int64_t IndexOr(const Value* value, int64_t otherwise, std::string_view what);

// The byte where a character begins; the end of the text for one behind the last.
size_t ByteOffset(Context& context, const Text& text, int64_t character);

Value SliceText(Context& context, const Text& text, Span span);

// Where `what` stands at or after `from`, in linear time, or npos.
size_t FindBytes(std::string_view text, std::string_view what, size_t from);

// Without the white space, or the characters of `characters`, at its ends.
enum class Side { kBoth, kLeft, kRight };
Value Strip(Context& context, const Value& text, Side side, const Value* characters);

// All occurrences replaced, or the first `count` of them where that is not negative.
Value Replace(Context& context, const Text& text, const Text& from, const Text& to, int64_t count);

std::vector<MarkedText> SplitLines(Context& context, const MarkedText& text, bool keep_ends);

MarkedText Upper(Context& context, const MarkedText& text);
MarkedText Lower(Context& context, const MarkedText& text);
MarkedText Capitalized(Context& context, const MarkedText& text);

// text % arguments: %s, %r, %d, %i, %f with a precision, %%.
Value PercentFormat(Context& context, const Value& text, const Value& arguments);
// text.format(...): {}, {0} and {name} without conversions.
Value BraceFormat(Context& context, const Value& text, const Arguments& arguments);

}  // namespace darkhorse::jinja
