// The one reader of JSON that others wrote. It is strict: text after the value, broken UTF-8,
// numbers beyond a double, a key twice in one object and too deep a nesting are all refused, each
// with one line that says why.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace darkhorse {

// How deep objects and arrays may lie in each other unless the caller says otherwise. Copying and
// printing a value recurse as deep as it nests, so some limit must hold.
inline constexpr int kMaxJsonDepth = 16;

// What a parser of nlohmann's found at byte `byte` of `text`, from 1, in its words `what`:
// "not valid JSON at byte 9: <what to mend>", one line. Numbers beyond a double have no byte: 0.
std::string JsonFault(std::string_view text, size_t byte, std::string_view what);

// The value that `text` holds. Otherwise nothing, and *why, where it is asked for, says what is
// wrong: "not valid JSON at byte 9: ..." (JsonFault), "'key' appears twice" (readers disagree on
// which of the two counts) or "JSON nests deeper than N levels". Json is nlohmann::json, or
// nlohmann::ordered_json, which keeps the order of keys.
template <typename Json>
std::optional<Json> TryParseJson(std::string_view text, std::string* why = nullptr,
                                 int max_depth = kMaxJsonDepth);

// The same value. Error "<name>: <why>; <cure>" if there is none.
nlohmann::json ParseJson(std::string_view text, const std::string& name,
                         int max_depth = kMaxJsonDepth);
// The same, and Error if the value is not an object.
nlohmann::json ParseJsonObject(std::string_view text, const std::string& name,
                               int max_depth = kMaxJsonDepth);

// The member `key`, which must be an integer in [low, high]; Error naming `name` and the key.
int64_t JsonInt(const nlohmann::json& object, const std::string& key, const std::string& name,
                int64_t low, int64_t high);
// The same of a value itself.
int64_t IntOf(const nlohmann::json& value, const std::string& key, const std::string& name,
              int64_t low, int64_t high);
// The member `key`, which must be a string; Error naming `name` and the key.
std::string JsonString(const nlohmann::json& object, const std::string& key,
                       const std::string& name);

}  // namespace darkhorse
