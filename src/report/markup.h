// Text for HTML and SVG. What a model wrote is hostile until it went through here.
#pragma once

#include <string>
#include <string_view>

namespace darkhorse {

// Text for HTML and XML: markup escaped, invalid UTF-8 replaced by U+FFFD, control characters by
// their pictures, direction overrides by U+FFFD.
std::string EscapeMarkup(std::string_view text);

// Invalid UTF-8 replaced by U+FFFD, a byte each.
std::string RepairUtf8(std::string_view text);

}  // namespace darkhorse
