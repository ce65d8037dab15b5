#include "base/fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/ascii.h"
#include "base/error.h"
#include "base/toml.h"

namespace darkhorse {
namespace {

// A value as a document spells it, whichever the format. JSON's type happens to fit.
using Literal = nlohmann::ordered_json;

// An overload for each type of FieldPointer: a type without one does not compile, and none can be
// paired with another's words.
const char* Describe(const bool*) { return "true or false"; }
const char* Describe(const int*) { return "an integer"; }
const char* Describe(const int64_t*) { return "an integer"; }
const char* Describe(const uint64_t*) { return "an integer from 0 to 2^63 - 1"; }
const char* Describe(const float*) { return "a number"; }
const char* Describe(const double*) { return "a number"; }
const char* Describe(const std::string*) { return "a string"; }
const char* Describe(const std::vector<int64_t>*) { return "a list of integers"; }
const char* Describe(const std::vector<double>*) { return "a list of numbers"; }
const char* Describe(const std::vector<std::string>*) { return "a list of strings"; }

// Each Convert says whether the literal fits the field, and if so assigns it.
bool Convert(const Literal& literal, bool& value) {
  if (!literal.is_boolean()) return false;
  value = literal.get<bool>();
  return true;
}

bool Convert(const Literal& literal, std::string& value) {
  if (!literal.is_string()) return false;
  value = literal.get<std::string>();
  return true;
}

template <typename T>
requires std::is_integral_v<T>
bool Convert(const Literal& literal, T& value) {
  if (!literal.is_number_integer()) return false;
  if (literal.is_number_unsigned()) {
    const auto number = literal.get<uint64_t>();
    // What TOML's integers cannot hold could be set but not written to a recipe.
    if (!std::in_range<T>(number) || !std::in_range<int64_t>(number)) return false;
    value = static_cast<T>(number);
    return true;
  }
  const auto number = literal.get<int64_t>();
  if (!std::in_range<T>(number)) return false;
  value = static_cast<T>(number);
  return true;
}

template <typename T>
requires std::is_floating_point_v<T>
bool Convert(const Literal& literal, T& value) {
  if (!literal.is_number()) return false;
  const T number = static_cast<T>(literal.get<double>());
  if (!std::isfinite(number)) return false;
  value = number;
  return true;
}

template <typename T>
bool Convert(const Literal& literal, std::vector<T>& value) {
  if (!literal.is_array()) return false;
  std::vector<T> items(literal.size());
  for (size_t i = 0; i < items.size(); ++i) {
    if (!Convert(literal[i], items[i])) return false;
  }
  value = std::move(items);
  return true;
}

// Sections and fields beside where the path's last part would stand.
std::vector<std::string> NamesBeside(const FieldList& fields, std::string_view path) {
  std::string_view section = path;
  do {
    const size_t dot = section.rfind('.');
    section = section.substr(0, dot == section.npos ? 0 : dot);
  } while (!section.empty() && !fields.IsSection(section));
  std::vector<std::string> names;
  for (const std::string& name : fields.Names()) {
    const size_t dot = name.rfind('.');
    if (std::string_view(name).substr(0, dot == name.npos ? 0 : dot) == section)
      names.push_back(name);
  }
  return names;
}

std::string Unknown(const FieldList& fields, std::string_view path) {
  const std::string near = DidYouMean(path, fields.Names());
  if (!near.empty()) return fmt::format("'{}' is unknown{}", path, near);
  return fmt::format("'{}' is unknown; there are {}", path,
                     fmt::join(NamesBeside(fields, path), ", "));
}

std::string WrongType(const Field& field, const std::string& literal) {
  return fmt::format("{} = {} does not fit; it must be {}", field.path, literal, TypeOf(field));
}

Literal FromToml(const toml::node& node) {
  if (const auto* value = node.as_boolean()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* array = node.as_array()) {
    Literal list = Literal::array();
    for (const toml::node& item : *array) list.push_back(FromToml(item));
    return list;
  }
  return nullptr;  // dates, tables in lists: no field has such a type
}

void AssignToml(const toml::table& table, const std::string& prefix, const std::string& name,
                const FieldList& fields, FieldPlaces* places) {
  for (const auto& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    const auto line = key.source().begin.line;
    const bool section = fields.IsSection(path);
    if (section != node.is_table() && (section || fields.Find(path))) {
      FailUsage("{}:{}: {}", name, line,
                section
                    ? fmt::format("'{}' is a section; write [{}] and its fields below", path, path)
                    : fmt::format("'{}' is a single value, not a section", path));
    }
    if (section) {
      AssignToml(*node.as_table(), path + ".", name, fields, places);
      continue;
    }
    const Field* field = fields.Find(path);
    if (!field) FailUsage("{}:{}: {}", name, line, Unknown(fields, path));
    const Literal literal = FromToml(node);
    if (!AssignJson(*field, literal)) {
      FailUsage("{}:{}: {}", name, line, WrongType(*field, literal.dump()));
    }
    if (places) places->Set(*field, fmt::format("{}:{}", name, line));
  }
}

// The literal a command line means by `text`: numbers and booleans for fields of that type, else
// the text itself.
Literal FromText(std::string_view text, const FieldPointer& type) {
  if (std::holds_alternative<std::string*>(type) ||
      std::holds_alternative<std::vector<std::string>*>(type)) {
    return std::string(text);
  }
  if (text == "true" || text == "false") return text == "true";
  const auto whole = [&](auto number) -> std::optional<Literal> {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
  };
  if (auto number = whole(int64_t{})) return *number;
  if (auto number = whole(uint64_t{})) return *number;
  if (auto number = whole(double{})) return *number;
  return std::string(text);
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

Literal ListFromText(std::string_view text, const FieldPointer& type) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  Literal list = Literal::array();
  while (!Trim(text).empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view item = Trim(text.substr(0, comma));
    if (item.size() >= 2 && item.front() == '"' && item.back() == '"')
      item = item.substr(1, item.size() - 2);  // as a recipe spells it
    list.push_back(FromText(item, type));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

bool IsList(const FieldPointer& pointer) {
  return std::visit(
      [](auto* value) {
        using T = std::remove_pointer_t<decltype(value)>;
        return !std::is_arithmetic_v<T> && !std::is_same_v<T, std::string>;
      },
      pointer);
}

Literal ToLiteral(const FieldPointer& pointer) {
  return std::visit([](const auto* value) { return Literal(*value); }, pointer);
}

// The value as TOML spells it. A float prints as the shortest decimal that reads back as the same
// float; JSON's escapes of strings are TOML escapes too.
std::string SpellValue(const Field& field) {
  if (const auto* value = std::get_if<float*>(&field.value)) return fmt::format("{}", **value);
  try {
    return ToLiteral(field.value).dump();
  } catch (const Literal::type_error&) {
    FailUsage("{} is not UTF-8, so no recipe can hold it; rename what it names", field.path);
  }
}

std::string SectionOf(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

}  // namespace

const char* TypeOf(const Field& field) {
  return std::visit([](const auto* value) { return Describe(value); }, field.value);
}

bool AssignJson(const Field& field, const Literal& value) {
  return std::visit([&](auto* member) { return Convert(value, *member); }, field.value);
}

Literal FieldsToJson(const FieldList& fields) {
  Literal object = Literal::object();
  for (const Field& field : fields.fields()) {
    Literal* at = &object;
    size_t begin = 0;
    for (size_t dot; (dot = field.path.find('.', begin)) != std::string::npos; begin = dot + 1) {
      at = &(*at)[field.path.substr(begin, dot - begin)];
    }
    (*at)[field.path.substr(begin)] = ToLiteral(field.value);
  }
  return object;
}

const Field* FieldList::Find(std::string_view path) const {
  const auto found =
      std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.path == path; });
  return found == fields_.end() ? nullptr : &*found;
}

// The field of that path, or the only one whose path ends in it; nullptr if there is none.
static const Field* FindByEnd(const FieldList& fields, std::string_view name) {
  if (const Field* exact = fields.Find(name)) return exact;
  const std::string end = "." + std::string(name);
  const Field* found = nullptr;
  for (const Field& field : fields.fields()) {
    if (!field.path.ends_with(end)) continue;
    if (found) return nullptr;
    found = &field;
  }
  return found;
}

static const void* AddressOf(const Field& field) {
  return std::visit([](const auto* value) -> const void* { return value; }, field.value);
}

void FieldPlaces::Set(const Field& field, std::string where) {
  places_[AddressOf(field)] = {std::move(where), field.path};
}

std::string FieldPlaces::Tell(const FieldList& fields, std::string_view message) const {
  const std::string_view name = message.substr(0, message.find(' '));
  const std::string_view rest = message.substr(name.size());
  const Field* field =
      rest.starts_with(" is ") || rest.starts_with(" * ") || rest.starts_with(" = ")
          ? FindByEnd(fields, name)
          : nullptr;
  if (!field) return name_.empty() ? std::string(message) : fmt::format("{}: {}", name_, message);
  const auto place = places_.find(AddressOf(*field));
  if (place == places_.end()) return fmt::format("{}: {}{}", name_, field->path, rest);
  return fmt::format("{}: {}{}", place->second.where, place->second.path, rest);
}

bool FieldList::IsSection(std::string_view path) const {
  return std::any_of(sections_.begin(), sections_.end(),
                     [&](const FieldSection& s) { return s.path == path; });
}

std::string FieldList::SectionHelp(std::string_view path) const {
  for (const FieldSection& section : sections_) {
    if (section.path == path) return section.help;
  }
  return "";
}

std::vector<std::string> FieldList::Names() const {
  std::vector<std::string> names;
  for (const Field& field : fields_) names.push_back(field.path);
  for (const FieldSection& section : sections_) names.push_back(section.path);
  return names;
}

// The first line that heads a table with a name beyond ASCII; 0: none does.
static int64_t LineOfForeignHeader(std::string_view text) {
  int64_t number = 1;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = TrimAscii(text.substr(begin, end - begin));
    begin = end + 1;
    if (line.starts_with('[') &&
        std::ranges::any_of(line.substr(0, line.find('#')), [](char c) { return (c & 0x80) != 0; }))
      return number;
  }
  return 0;
}

toml::table ParsedToml(std::string_view text, const std::string& name) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    FailUsage("{}:{}: not TOML: {}", name, error.source().begin.line, error.description());
  } catch (const TomlAssertion&) {
    const int64_t line = LineOfForeignHeader(text);
    FailUsage("{}:{} not TOML: a name without quotes has letters of ASCII, digits, - and _ alone",
              name, line > 0 ? fmt::format("{}:", line) : "");
  }
}

void ParseToml(std::string_view text, const std::string& name, const FieldList& fields,
               FieldPlaces* places) {
  AssignToml(ParsedToml(text, name), "", name, fields, places);
}

std::vector<std::string> TomlKeys(std::string_view text, const std::string& name) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : ParsedToml(text, name)) keys.emplace_back(key.str());
  return keys;
}

void SetField(const FieldList& fields, std::string_view assignment, FieldPlaces* places) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    FailUsage("setting {}: write it as field=value, such as model.hidden_size=512", assignment);
  }
  const std::string_view path = Trim(assignment.substr(0, equals));
  const std::string_view text = Trim(assignment.substr(equals + 1));
  if (fields.IsSection(path)) {
    FailUsage("setting {}: '{}' is a section; name one of its fields", assignment, path);
  }
  const Field* field = fields.Find(path);
  if (!field) FailUsage("setting {}: {}", assignment, Unknown(fields, path));
  const Literal literal =
      IsList(field->value) ? ListFromText(text, field->value) : FromText(text, field->value);
  if (!AssignJson(*field, literal)) FailUsage("{}", WrongType(*field, std::string(text)));
  if (places) places->Set(*field, fmt::format("setting {}", assignment));
}

std::string FieldsToToml(const FieldList& fields, bool help) {
  std::string out;
  std::string section;
  const auto add = [&](const Field& field) {
    if (SectionOf(field.path) != section) {
      section = SectionOf(field.path);
      out += fmt::format("\n[{}]{}\n", section, help ? "  # " + fields.SectionHelp(section) : "");
    }
    const std::string name = field.path.substr(section.empty() ? 0 : section.size() + 1);
    const std::string line = fmt::format("{} = {}", name, SpellValue(field));
    out += help ? fmt::format("{:<40} # {}\n", line, field.help) : line + "\n";
  };
  // TOML has no way back to the top level once a section has begun.
  for (const Field& field : fields.fields()) {
    if (SectionOf(field.path).empty()) add(field);
  }
  for (const Field& field : fields.fields()) {
    if (!SectionOf(field.path).empty()) add(field);
  }
  return out;
}

}  // namespace darkhorse
