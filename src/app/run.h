// What `darkhorse run` prints for people.
#pragma once

#include <string>

#include "app/output.h"

namespace darkhorse {

// The result with both measurements of each task side by side, "0.250 -> 0.750", in place of the
// two lists, and with the command that asks the model.
Json RunForPeople(Json result, const std::string& program);

// What a model said, escaped and not too long: less of what is mostly bytes that are no text.
std::string ShownThought(const std::string& text);

}  // namespace darkhorse
