// What a model can be asked.
#pragma once

#include <string>

namespace darkhorse {

// A problem that the checkpoint's run did not train on, as a task of its recipe words it, without
// the end of the line. Empty where the directory lies in no run, the run has no built-in task, or
// its problems have several lines.
std::string ExampleQuestion(const std::string& model);

}  // namespace darkhorse
