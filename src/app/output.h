// What the commands print: results on stdout, progress on stderr.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace darkhorse {

using Json = nlohmann::ordered_json;

// One JSON object on one line, or for people one "name  value" a line, parts of nested objects
// indented and the objects of a list numbered.
void PrintResult(const Json& result, bool json);

// As it is, for text that is the result.
void PrintText(std::string_view text);

// A line for people on stderr.
void Note(const std::string& text);

// A line on stderr that is overwritten: at most ten times a second on a terminal, cut to its width,
// else printed anew every ten seconds. The destructor prints what was shown last and ends it.
class StatusLine {
 public:
  StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine();
  void Show(const std::string& text);

 private:
  void Print(const std::string& text);

  using Clock = std::chrono::steady_clock;
  bool terminal_;
  Clock::time_point next_;
  std::string held_;   // shown last, but too soon to be printed
  bool open_ = false;  // the cursor stands behind a line
};

}  // namespace darkhorse
