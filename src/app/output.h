// What the commands print: results on stdout, progress on stderr.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace darkhorse {

using Json = nlohmann::ordered_json;

// One JSON object on one line, exact, or for people, with controls escaped, a line "name  value"
// per member, parts of nested objects indented and the objects of a list numbered.
std::string ResultText(const Json& result, bool json);
void PrintResult(const Json& result, bool json);

// Text that is the result: as it is, but to a terminal with its controls escaped.
void PrintText(std::string_view text);

// A line for people on stderr.
void Note(const std::string& text);
using Teller = std::function<void(const std::string&)>;  // Note, or what stands for it

// What fits on a line of a terminal with the cursor behind it: characters of UTF-8, all narrow.
std::string FirstColumns(const std::string& text, int64_t columns);

// The same, and of items that " · " separates no part of one, where the first has room.
std::string FirstItems(const std::string& text, int64_t columns);

// A line on stderr that is overwritten: at most ten times a second on a terminal, as much as its
// width has room for, else printed anew every ten seconds. The destructor prints what was shown
// last and ends it.
class StatusLine {
 public:
  // `now`, seconds, is a test's own clock.
  explicit StatusLine(std::function<double()> now = SteadySeconds);
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine();
  void Show(const std::string& text);

 private:
  void Print(const std::string& text);

  std::function<double()> now_;
  bool terminal_;
  double next_;
  std::string held_;   // shown last, but too soon to be printed
  bool open_ = false;  // the cursor stands behind a line
};

}  // namespace darkhorse
