#include "base/json.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace darkhorse {
namespace {

using nlohmann::json;

// Thrown from within the parser, which has no other way to stop.
struct Refused {
  std::string why, cure;
};

// Sees the events of the parser and throws Refused.
template <typename Json>
class Watch {
 public:
  explicit Watch(int max_depth) : max_depth_(max_depth) {}

  bool operator()(int depth, typename Json::parse_event_t event, Json& value) {
    using Event = typename Json::parse_event_t;
    // `depth` is the number of containers around what begins here.
    if ((event == Event::object_start || event == Event::array_start) && depth >= max_depth_) {
      throw Refused{fmt::format("JSON nests deeper than {} levels", max_depth_), "flatten it"};
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) {
      const auto& key = value.template get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        throw Refused{fmt::format("'{}' appears twice", Printable(key)), "remove one"};
      }
    }
    return true;
  }

 private:
  int max_depth_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

template <typename Json>
static std::optional<Json> Parse(std::string_view text, int max_depth, Refused* refused) {
  Watch<Json> watch(max_depth);
  try {
    return Json::parse(text, std::ref(watch));
  } catch (const Refused& thrown) {
    *refused = thrown;
  } catch (const typename Json::exception& error) {
    *refused = {fmt::format("not valid JSON ({})", Printable(error.what())),
                "fetch or write the file again"};
  }
  return std::nullopt;
}

template <typename Json>
std::optional<Json> TryParseJson(std::string_view text, std::string* why, int max_depth) {
  Refused refused;
  std::optional<Json> value = Parse<Json>(text, max_depth, &refused);
  if (!value && why) *why = refused.why;
  return value;
}

template std::optional<json> TryParseJson(std::string_view, std::string*, int);
template std::optional<nlohmann::ordered_json> TryParseJson(std::string_view, std::string*, int);

json ParseJson(std::string_view text, const std::string& name, int max_depth) {
  Refused refused;
  std::optional<json> value = Parse<json>(text, max_depth, &refused);
  if (!value) Fail("{}: {}; {}", name, refused.why, refused.cure);
  return *std::move(value);
}

json ParseJsonObject(std::string_view text, const std::string& name, int max_depth) {
  json object = ParseJson(text, name, max_depth);
  if (!object.is_object()) Fail("{}: expected a JSON object {{...}}", name);
  return object;
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

}  // namespace darkhorse
