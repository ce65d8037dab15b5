// The spellings of TeX that mean the same.
#pragma once

#include <string>
#include <string_view>

namespace darkhorse {

inline constexpr std::string_view kDegree = "°";

// Without what is for the eye alone, as \left and \!, and with one name for each command: \text
// for \mbox and \mathrm, "°" for ^\circ. 10\,000 has its thousands by a comma.
std::string TidyMath(std::string_view written);

}  // namespace darkhorse
