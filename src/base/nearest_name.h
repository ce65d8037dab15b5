// What to suggest when a name is unknown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

// Levenshtein distance in bytes.
int EditDistance(std::string_view a, std::string_view b);

// The candidate nearest to `name`; the first of equals, "" if there are none. Dotted names
// ("train.steps") also count as near when only their last part is, so that a field written into the
// wrong section is found; one that only lacks its first sections is nearest. The section that the
// name lies in is never meant.
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace darkhorse
