// JSON from outside: parsed strictly, and one line of Error for whatever is wrong with it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace darkhorse {

// The object that `text` holds. Error naming `name` if it is not one JSON object, nests deeper than
// 16 levels, or uses a key twice in one object (readers disagree on which counts).
nlohmann::json ParseJsonObject(std::string_view text, const std::string& name);

// The member `key`, which must be an integer in [low, high]; Error naming `name` and the key.
int64_t JsonInt(const nlohmann::json& object, const std::string& key, const std::string& name,
                int64_t low, int64_t high);
// The same of a value itself.
int64_t IntOf(const nlohmann::json& value, const std::string& key, const std::string& name,
              int64_t low, int64_t high);
std::string JsonString(const nlohmann::json& object, const std::string& key,
                       const std::string& name);

// A piece of foreign text fit for a one-line message: shortened, control characters replaced.
std::string Printable(std::string_view text);

}  // namespace darkhorse
