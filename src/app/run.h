// What `darkhorse run` prints for people.
#pragma once

#include <string>

#include "app/output.h"

namespace darkhorse {

// The result with both measurements of each task side by side, "0.250 -> 0.750", in place of the
// two lists, and with the command that asks the model.
Json RunForPeople(Json result, const std::string& program);

}  // namespace darkhorse
