// JSON Schema's `format` of strings, as patterns.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace darkhorse {

// Names, and patterns (text/pattern.h) of which every match is of that format. Less than all that
// is: an IPv6 address has its eight groups, a leap second is no second.
const std::vector<std::pair<std::string, std::string>>& StringFormats();

}  // namespace darkhorse
