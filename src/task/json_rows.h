// The rows of a JSON Lines file: what they have in common, whatever they hold.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace darkhorse {

// Calls `read` with each line that is not empty and where it stands. Error: text that is no JSON
// Lines, or the faults of the rows that `read` threw an Error of, which does not name the row.
void ForEachRow(std::string_view text, const std::string& name,
                const std::function<void(std::string_view row, const std::string& where)>& read);

// The object of a row. Error, which does not name the row: none, or one that is too long or too
// deep. `form` tells what to write.
nlohmann::json RowObject(std::string_view row, std::string_view form);

}  // namespace darkhorse
