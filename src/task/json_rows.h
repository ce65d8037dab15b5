// The rows of a JSON Lines file: what they have in common, whatever they hold.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace darkhorse {

// What is wrong with the rows of a file, told all at once: the first ten with what it is.
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

// Calls `read` with each line that is not empty and where it stands. Error: text that is no JSON
// Lines, or the faults of the rows that `read` threw an Error of, which does not name the row.
void ForEachRow(std::string_view text, const std::string& name,
                const std::function<void(std::string_view row, const std::string& where)>& read);

// The object of a row. Error, which does not name the row: none, or one that is too long or too
// deep. `form` tells what to write.
nlohmann::json RowObject(std::string_view row, std::string_view form);

}  // namespace darkhorse
