#include "base/json.h"

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace darkhorse {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;

}  // namespace

json ParseJsonObject(std::string_view text, const std::string& name) {
  std::vector<std::unordered_set<std::string>> keys;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > kMaxDepth) Fail("{}: JSON nests deeper than {} levels", name, kMaxDepth);
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const std::string& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        Fail("{}: '{}' appears twice; remove one", name, Printable(key));
      }
    }
    return true;
  };
  try {
    json object = json::parse(text, watch);
    if (!object.is_object()) Fail("{}: expected a JSON object {{...}}", name);
    return object;
  } catch (const json::exception& error) {
    Fail("{}: not valid JSON ({}); fetch or write the file again", name, Printable(error.what()));
  }
}

int64_t JsonInt(const json& object, const std::string& key, const std::string& name, int64_t low,
                int64_t high) {
  const auto found = object.find(key);
  if (found == object.end()) Fail("{}: '{}' is missing; add it", name, key);
  return IntOf(*found, key, name, low, high);
}

int64_t IntOf(const json& value, const std::string& key, const std::string& name, int64_t low,
              int64_t high) {
  // An unsigned number above INT64_MAX would wrap in get<int64_t>.
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    Fail("{}: '{}' must be an integer {}", name, key,
         high == INT64_MAX ? fmt::format("of at least {} and below 2^63", low)
                           : fmt::format("from {} to {}", low, high));
  }
  return value.get<int64_t>();
}

std::string JsonString(const json& object, const std::string& key, const std::string& name) {
  const auto found = object.find(key);
  if (found == object.end()) Fail("{}: '{}' is missing; add it", name, key);
  if (!found->is_string()) Fail("{}: '{}' must be a string", name, key);
  return found->get<std::string>();
}

std::string Printable(std::string_view text) {
  constexpr size_t kLongest = 200;
  return WithoutControls(text.substr(0, kLongest)) + (text.size() > kLongest ? "..." : "");
}

}  // namespace darkhorse
