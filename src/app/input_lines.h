// Lines that somebody types or another program writes.
#pragma once

#include <memory>
#include <string>

namespace darkhorse {

// Standard input, line by line. At a terminal a line is asked for with "> " and can be edited, and
// the arrows bring back earlier ones.
class InputLines {
 public:
  InputLines();
  ~InputLines();
  // Whether somebody types.
  bool terminal() const { return terminal_; }
  // The next line, without its end; false at the end of the input or when a signal interrupts the
  // wait. Error where standard input cannot be read.
  bool Next(std::string* line);

 private:
  class Editor;
  bool terminal_;
  std::unique_ptr<Editor> editor_;  // null: nothing to edit on
};

}  // namespace darkhorse
