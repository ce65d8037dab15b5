// What is wrong with the rows of a file that others wrote.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace darkhorse {

// Told all at once: the first ten with what it is, and how many there are.
class RowFaults {
 public:
  // where: "file.jsonl:12".
  void Add(const std::string& where, std::string_view why);
  // Error, where there are any.
  void Raise() const;

 private:
  int64_t count_ = 0;
  std::string first_, others_;
  std::string why_;  // of the last one
};

}  // namespace darkhorse
