// What to suggest when a name is unknown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

// Levenshtein distance in bytes.
int EditDistance(std::string_view a, std::string_view b);

// "; did you mean 'pretrain'?" of the candidate nearest to `name`, where not much more than half of
// it would be another; else "".
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);

// The candidate nearest to `name`: the first among equals, "" if there are no candidates. A dotted
// candidate ("train.steps") is also near when only its last part is near: so a field written into
// the wrong section is found. A candidate that equals `name` but for sections before it is nearest.
// The section that `name` lies in is never suggested.
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace darkhorse
