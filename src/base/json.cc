#include "base/json.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

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

// What others' writers are known to leave in the text at `at`, and how to mend it; "" for others.
std::string KnownFault(std::string_view text, size_t at, std::string_view reason) {
  if (IsWideText(text)) return std::string(kWideTextCure);
  if (reason.find("ill-formed UTF-8") != reason.npos && at < text.size()) {
    return fmt::format(
        "the byte 0x{:02X} is not UTF-8; if the text is Latin-1, convert it: iconv -f LATIN1 -t "
        "UTF-8",
        static_cast<unsigned char>(text[at]));
  }
  if (reason.find("surrogate U+") != reason.npos) {
    return "half of a character written as two \\u escapes (a lone surrogate); write both or "
           "neither";
  }
  for (const std::string_view word : {"NaN", "-Infinity", "Infinity", "None", "True", "False"}) {
    const size_t begin = word[0] == '-' && at > 0 ? at - 1 : at;  // of "-I" the I is refused
    if (text.substr(std::min(begin, text.size()), word.size()) == word)
      return fmt::format("{} is no JSON; write a number, true, false, null or \"text\"", word);
  }
  return "";
}

}  // namespace

std::string JsonFault(std::string_view text, size_t byte, std::string_view what) {
  // "[json.exception.parse_error.101] parse error at line 1, column 9: <the reason>"
  const size_t colon = what.find(": "), bracket = what.find("] ");
  const std::string_view reason = colon != what.npos     ? what.substr(colon + 2)
                                  : bracket != what.npos ? what.substr(bracket + 2)
                                                         : what;
  // The parser names the byte that does not go on with the character, not the one that began it.
  if (reason.find("ill-formed UTF-8") != reason.npos) byte = ValidUtf8Prefix(text) + 1;
  if (reason.starts_with("number overflow"))  // no byte is told
    return fmt::format("not valid JSON: {}; in quotes it may be any", Printable(reason, 120));
  const std::string known = KnownFault(text, std::max<size_t>(byte, 1) - 1, reason);
  return fmt::format("not valid JSON{}: {}", byte > 0 ? fmt::format(" at byte {}", byte) : "",
                     known.empty() ? Printable(reason, 120) : known);
}

template <typename Json>
static std::optional<Json> Parse(std::string_view text, int max_depth, Refused* refused) {
  Watch<Json> watch(max_depth);
  try {
    return Json::parse(text, std::ref(watch));
  } catch (const Refused& thrown) {
    *refused = thrown;
  } catch (const typename Json::parse_error& error) {
    *refused = {JsonFault(text, error.byte, error.what()), "fetch or write the file again"};
  } catch (const typename Json::exception& error) {  // a number beyond a double
    *refused = {JsonFault(text, 0, error.what()), "fetch or write the file again"};
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
