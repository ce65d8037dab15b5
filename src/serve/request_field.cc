#include "serve/request_field.h"

#include <fmt/format.h>

#include "serve/api_error.h"

namespace darkhorse::request_field {

using Json = nlohmann::ordered_json;

void Refuse(const std::string& field, const std::string& what, const std::string& code) {
  throw ApiError(400, fmt::format("'{}' {}", field, what), field, code);
}

const Json* Find(const Json& object, const std::string& field) {
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool Bool(const Json& object, const std::string& field, bool standard) {
  const Json* value = Find(object, field);
  if (!value) return standard;
  if (!value->is_boolean()) Refuse(field, "must be true or false");
  return value->get<bool>();
}

std::string String(const Json& object, const std::string& field) {
  const Json* value = Find(object, field);
  if (!value) return "";
  if (!value->is_string()) Refuse(field, "must be a string");
  return value->get<std::string>();
}

int64_t IntegerOf(const Json& value, const std::string& field, int64_t low, int64_t high) {
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high)
    Refuse(field, fmt::format("must be an integer from {} to {}", low, high));
  return value.get<int64_t>();
}

std::optional<int64_t> Integer(const Json& object, const std::string& field, int64_t low,
                               int64_t high) {
  const Json* value = Find(object, field);
  return value ? std::optional(IntegerOf(*value, field, low, high)) : std::nullopt;
}

}  // namespace darkhorse::request_field
