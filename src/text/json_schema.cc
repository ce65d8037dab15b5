#include "text/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "text/pattern_grammar.h"
#include "text/string_formats.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;
using Rule = ByteGrammar::Rule;

constexpr int32_t kMostCount = 1'000'000;  // of characters or items
constexpr size_t kMostProperties = 200;    // of one object
constexpr size_t kMostValues = 2'000;      // of one enum
constexpr int kMostNested = 200;           // schemas in each other, references followed
// Of what reads the strings of enums: states at once, and what it may take to find them, in all.
constexpr size_t kMostStates = 1'000;
constexpr int64_t kMostFound = 5'000'000;

// Keywords that say nothing of what is valid.
constexpr const char* kNotes[] = {
    "title",    "description", "default",     "examples",   "example",  "$schema",  "$id",
    "$comment", "$defs",       "definitions", "deprecated", "readOnly", "writeOnly"};
// Keywords that do, and are not supported.
constexpr const char* kUnsupported[] = {"multipleOf",
                                        "contains",
                                        "minContains",
                                        "maxContains",
                                        "minProperties",
                                        "maxProperties",
                                        "patternProperties",
                                        "propertyNames",
                                        "dependentRequired",
                                        "dependentSchemas",
                                        "dependencies",
                                        "unevaluatedProperties",
                                        "unevaluatedItems",
                                        "additionalItems",
                                        "if",
                                        "then",
                                        "else",
                                        "not",
                                        "$dynamicRef",
                                        "$recursiveRef"};
// Types, and the keywords that speak of them alone.
struct Type {
  const char* name;
  std::vector<const char*> keywords;
};
const std::vector<const char*> kBounds = {"minimum", "exclusiveMinimum", "maximum",
                                          "exclusiveMaximum"};
const std::vector<Type>& Types() {
  static const std::vector<Type> types = {
      {"object", {"properties", "required", "additionalProperties"}},
      {"array", {"items", "prefixItems", "minItems", "maxItems"}},
      {"string", {"minLength", "maxLength", "pattern", "format"}},
      {"number", kBounds},
      {"integer", kBounds},
      {"boolean", {}},
      {"null", {}}};
  return types;
}

// Keywords whose schemas are of a value's parts: those of an 'enum' are not looked at with them.
constexpr const char* kOfParts[] = {"properties", "additionalProperties", "items", "prefixItems"};

bool Contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

bool IsOfType(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "number") return value.is_number();
  if (type == "integer") return value.is_number_integer();
  if (type == "boolean") return value.is_boolean();
  return value.is_null();
}

class Reader {
 public:
  Reader(JsonGrammar* json, const Json& root, const std::string& name)
      : json_(*json), root_(root), name_(name) {}

  // The rule of the schema that a JSON pointer names, "" for the whole.
  Rule Read(const Json& schema, const std::string& at) {
    if (const auto made = made_.find(at); made != made_.end()) return made->second;
    if (schema.is_boolean()) return schema.get<bool>() ? json_.Value() : json_.Nothing();
    if (!schema.is_object()) Fail("{}: must be a schema, an object or true or false", Where(at));
    if (++nested_ > kMostNested) Fail("{}: schemas nest too deep here", Where(at));
    const Rule rule = json_.grammar().AddRule();
    made_.emplace(at, rule);
    const auto end = json_.grammar().AddNode(rule);
    json_.grammar().SetEnd(end);
    for (const Rule one : Alternatives(schema, at))
      json_.grammar().AddCall(json_.grammar().Start(rule), one, end);
    if (json_.grammar().nodes() > kMostSchemaNodes)
      Fail("{}: the schema is too large; make it smaller", Where(at));
    --nested_;
    return rule;
  }

 private:
  std::string Where(const std::string& at) const {
    return fmt::format("{} at #{}", name_, Printable(at));
  }
  [[noreturn]] void Refuse(const std::string& at, const std::string& keyword,
                           const std::string& what) const {
    Fail("{}: '{}' {}", Where(at), keyword, what);
  }
  static std::string Below(const std::string& at, std::string key) {
    ReplaceAll(key, "~", "~0");
    ReplaceAll(key, "/", "~1");
    return at + "/" + key;
  }

  std::vector<Rule> Alternatives(const Json& schema, const std::string& at) {
    CheckKeywords(schema, at);
    std::vector<Rule> rules;
    if (schema.contains("$ref")) {
      StandsAlone(schema, at, "$ref");
      rules.push_back(Refer(schema["$ref"], at));
    } else if (const char* of = Combination(schema)) {
      StandsAlone(schema, at, of);
      const Json& all = schema[of];
      if (!all.is_array() || all.empty()) Refuse(at, of, "must be an array of schemas");
      if (of == std::string("allOf") && all.size() > 1)
        Refuse(at, of, "is not supported with several schemas; write them as one");
      for (size_t i = 0; i < all.size(); ++i)
        rules.push_back(Read(all[i], fmt::format("{}/{}/{}", at, of, i)));
    } else if (schema.contains("enum") || schema.contains("const")) {
      rules.push_back(Values(schema, at));
    } else {
      for (const std::string& type : TypesOf(schema, at)) rules.push_back(OfType(type, schema, at));
    }
    if (Bool(schema, at, "nullable")) rules.push_back(json_.Null());
    return rules;
  }

  void CheckKeywords(const Json& schema, const std::string& at) const {
    for (const char* keyword : kUnsupported) {
      if (schema.contains(keyword)) Refuse(at, keyword, "is not supported; leave it out");
    }
    if (Bool(schema, at, "uniqueItems"))
      Refuse(at, "uniqueItems", "is not supported; leave it out");
  }

  static const char* Combination(const Json& schema) {
    for (const char* of : {"anyOf", "oneOf", "allOf"}) {
      if (schema.contains(of)) return of;
    }
    return nullptr;
  }

  // What else would have to hold as well.
  void StandsAlone(const Json& schema, const std::string& at, const std::string& keyword) const {
    for (const auto& [other, value] : schema.items()) {
      bool speaks = other == "type" || other == "enum" || other == "const" || other == "$ref" ||
                    other == "anyOf" || other == "oneOf" || other == "allOf";
      for (const Type& type : Types()) {
        for (const char* of : type.keywords) speaks |= other == of;
      }
      if (speaks && other != keyword) {
        Refuse(at, other,
               fmt::format("beside '{}' is not supported; put it into the schema there", keyword));
      }
    }
  }

  bool Bool(const Json& schema, const std::string& at, const char* keyword) const {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return false;
    if (!found->is_boolean()) Refuse(at, keyword, "must be true or false");
    return found->get<bool>();
  }

  std::optional<int32_t> Count(const Json& schema, const std::string& at,
                               const char* keyword) const {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return std::nullopt;
    if (!found->is_number_unsigned() || found->get<uint64_t>() > kMostCount)
      Refuse(at, keyword, fmt::format("must be an integer from 0 to {}", kMostCount));
    return found->get<int32_t>();
  }

  struct Range {
    int32_t least, most;
  };
  Range Counts(const Json& schema, const std::string& at, const char* low, const char* high) const {
    const Range range = {Count(schema, at, low).value_or(0),
                         Count(schema, at, high).value_or(ByteGrammar::kUnbounded)};
    if (range.least > range.most) Refuse(at, low, fmt::format("is larger than '{}'", high));
    return range;
  }

  Rule Refer(const Json& ref, const std::string& at) {
    const std::string target = ref.is_string() ? ref.get<std::string>() : "";
    if (!target.starts_with('#'))
      Refuse(at, "$ref", "must be '#', or '#/...' to a schema within this one");
    const Json* found = nullptr;
    try {
      const Json::json_pointer pointer(target.substr(1));
      if (root_.contains(pointer)) found = &root_.at(pointer);
    } catch (const Json::exception&) {  // no pointer
    }
    if (!found)
      Refuse(at, "$ref", fmt::format("is '{}', which is not there", Printable(target, 100)));
    return Read(*found, target.substr(1));
  }

  std::vector<std::string> TypesOf(const Json& schema, const std::string& at) const {
    std::vector<std::string> types;
    const auto found = schema.find("type");
    if (found == schema.end()) {
      for (const Type& type : Types()) {
        for (const char* keyword : type.keywords) {
          if (!schema.contains(keyword) || Contains(types, type.name)) continue;
          if (type.name != std::string("integer"))
            types.emplace_back(type.name);  // a number is, too
        }
      }
      return types.empty() ? std::vector<std::string>{"any"} : types;
    }
    const Json all = found->is_array() ? *found : Json::array({*found});
    if (all.empty()) Refuse(at, "type", "is an empty list");
    for (const Json& type : all) {
      std::vector<std::string_view> known;
      for (const Type& one : Types()) known.emplace_back(one.name);
      const std::string name = type.is_string() ? type.get<std::string>() : "";
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        Refuse(at, "type",
               fmt::format("must be of {}, one or a list of them", fmt::join(known, ", ")));
      }
      if (!Contains(types, name)) types.push_back(name);
    }
    return types;
  }

  Rule Values(const Json& schema, const std::string& at) {
    const char* keyword = schema.contains("const") ? "const" : "enum";
    for (const char* other : kOfParts) {
      if (schema.contains(other))
        Refuse(at, other, fmt::format("beside '{}' is not supported; leave it out", keyword));
    }
    Json values = Json::array();
    if (schema.contains("enum")) {
      values = schema["enum"];
      if (!values.is_array() || values.empty() || values.size() > kMostValues) {
        Refuse(at, "enum", fmt::format("must be an array of 1 to {} values", kMostValues));
      }
    }
    if (schema.contains("const")) {
      const Json& value = schema["const"];
      if (!values.empty() && std::find(values.begin(), values.end(), value) == values.end())
        Refuse(at, "const", "is no value of the 'enum' beside it");
      values = Json::array({value});
    }
    std::vector<std::string> texts;
    for (const Json& value : AllowedOf(values, schema, at)) texts.push_back(value.dump());
    if (texts.empty()) Refuse(at, keyword, "has no value that the keywords beside it allow");
    return json_.AnyOf(texts);
  }

  // Of the values, those that hold what the schema says beside them.
  std::vector<Json> AllowedOf(const Json& values, const Json& schema, const std::string& at) {
    const std::vector<std::string> types = TypesOf(schema, at);
    const std::vector<std::string> names = Required(schema, at);
    const Range items = Counts(schema, at, "minItems", "maxItems");
    for (const char* keyword : kBounds) Bound(schema, at, keyword);
    std::optional<ByteGrammarReader> strings;
    for (const char* keyword : {"minLength", "maxLength", "pattern", "format"}) {
      if (schema.contains(keyword) && !strings) strings.emplace(StringsAlone(schema, at));
    }
    std::vector<Json> allowed;
    for (const Json& value : values) {
      bool fits = !schema.contains("type") || std::ranges::any_of(types, [&](const auto& type) {
        return IsOfType(value, type);
      });
      if (value.is_number()) fits &= IsWithin(value, schema);
      if (value.is_string() && strings) fits &= Reads(&*strings, value.dump());
      if (value.is_object()) {
        fits &= std::ranges::all_of(names, [&](const auto& name) { return value.contains(name); });
      }
      if (value.is_array()) {
        const auto count = static_cast<int64_t>(value.size());
        fits &= items.least <= count && count <= items.most;
      }
      if (fits) allowed.push_back(value);
    }
    if (strings) strings_found_ += strings->found();
    if (strings_found_ > kMostFound)
      Refuse(at, "enum", "has too much text to look for the 'pattern' in; make it smaller");
    return allowed;
  }

  static bool Reads(ByteGrammarReader* reader, std::string_view text) {
    auto state = reader->Start();
    for (const char byte : text) {
      if (reader->found() > kMostFound) return false;  // the whole is refused
      if (reader->states() > kMostStates) state = reader->Forget(state);
      state = reader->Next(state, static_cast<uint8_t>(byte));
    }
    return reader->MayEnd(state);
  }

  static bool IsWithin(const Json& number, const Json& schema) {
    // Holds 64 bits and doubles as they are.
    const auto value = number.get<long double>();
    const auto holds = [&](const char* keyword, auto compare) {
      const auto found = schema.find(keyword);
      return found == schema.end() || compare(value, found->get<long double>());
    };
    return holds("minimum", std::greater_equal()) && holds("exclusiveMinimum", std::greater()) &&
           holds("maximum", std::less_equal()) && holds("exclusiveMaximum", std::less());
  }

  // A grammar of the strings that the schema allows and of nothing else.
  std::shared_ptr<const ByteGrammar> StringsAlone(const Json& schema, const std::string& at) {
    auto grammar = std::make_shared<ByteGrammar>();
    JsonGrammar json(grammar.get());
    grammar->Finish(Reader(&json, root_, name_).StringOf(schema, at));
    strings_nodes_ += grammar->nodes();
    if (strings_nodes_ > kMostSchemaNodes)
      Fail("{}: the schema is too large; make it smaller", Where(at));
    return grammar;
  }

  Rule OfType(const std::string& type, const Json& schema, const std::string& at) {
    if (type == "object") return ObjectOf(schema, at);
    if (type == "array") return ArrayOf(schema, at);
    if (type == "string") return StringOf(schema, at);
    if (type == "number") return NumberOf(schema, at);
    if (type == "integer") return IntegerOf(schema, at);
    if (type == "boolean") return json_.Boolean();
    return type == "null" ? json_.Null() : json_.Value();
  }

  Rule StringOf(const Json& schema, const std::string& at) {
    const auto [least, most] = Counts(schema, at, "minLength", "maxLength");
    const bool has_pattern = schema.contains("pattern");
    if (!has_pattern && !schema.contains("format")) return json_.String(least, most);
    const char* keyword = has_pattern ? "pattern" : "format";
    if (has_pattern && schema.contains("format"))
      Refuse(at, "format", "beside 'pattern' is not supported; leave it out");
    if (!schema[keyword].is_string()) Refuse(at, keyword, "must be a string");
    std::string pattern = schema[keyword].get<std::string>();
    if (!has_pattern) pattern = FormatPattern(pattern, at);
    try {
      return AddPatternString(&json_.grammar(), pattern, least, most, kMostSchemaNodes);
    } catch (const Error& error) {
      Refuse(at, keyword, error.what());
    }
  }

  std::string FormatPattern(const std::string& format, const std::string& at) const {
    std::vector<std::string_view> known;
    for (const auto& [name, pattern] : StringFormats()) {
      if (name == format) return pattern;
      known.push_back(name);
    }
    Refuse(at, "format",
           fmt::format("is '{}', which is not supported; leave it out, or take one of {}",
                       Printable(format, 40), fmt::join(known, ", ")));
  }

  std::optional<double> Bound(const Json& schema, const std::string& at,
                              const char* keyword) const {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return std::nullopt;
    if (!found->is_number()) Refuse(at, keyword, "must be a number");
    return found->get<double>();
  }

  Rule NumberOf(const Json& schema, const std::string& at) {
    const std::optional<double> least = Bound(schema, at, "minimum");
    for (const char* keyword : kBounds) {
      if (schema.contains(keyword) && !(keyword == kBounds.front() && *least == 0)) {
        Refuse(at, keyword,
               "of a number is not supported, but for a 'minimum' of 0; leave it "
               "out, or make it an integer");
      }
    }
    return json_.Number(/*negative=*/!least);
  }

  Rule IntegerOf(const Json& schema, const std::string& at) {
    constexpr auto kLargest = static_cast<double>(JsonGrammar::kLargest);
    int64_t least = -JsonGrammar::kLargest, most = JsonGrammar::kLargest;
    for (const char* keyword : kBounds) {
      const std::optional<double> bound = Bound(schema, at, keyword);
      if (!bound) continue;
      // Beyond what a double holds exactly, nobody counts.
      if (std::abs(*bound) >= kLargest / 100)
        Refuse(at, keyword, "must lie between -1e16 and 1e16");
      const std::string_view name = keyword;
      if (name == "minimum") least = std::max(least, static_cast<int64_t>(std::ceil(*bound)));
      if (name == "maximum") most = std::min(most, static_cast<int64_t>(std::floor(*bound)));
      if (name == "exclusiveMinimum")
        least = std::max(least, static_cast<int64_t>(std::floor(*bound)) + 1);
      if (name == "exclusiveMaximum")
        most = std::min(most, static_cast<int64_t>(std::ceil(*bound)) - 1);
    }
    if (least > most) Refuse(at, "type", "is 'integer', and none lies between its bounds");
    return json_.Integer(least, most);
  }

  // The names, each once.
  std::vector<std::string> Required(const Json& schema, const std::string& at) const {
    std::vector<std::string> names;
    std::set<std::string> known;
    const auto found = schema.find("required");
    if (found == schema.end()) return names;
    if (!found->is_array()) Refuse(at, "required", "must be an array of names");
    for (const Json& name : *found) {
      if (!name.is_string()) Refuse(at, "required", "must be an array of names");
      if (known.insert(name.get<std::string>()).second) names.push_back(name);
    }
    return names;
  }

  Rule ObjectOf(const Json& schema, const std::string& at) {
    const bool named = schema.contains("properties") || schema.contains("required");
    Rule more = named ? -1 : json_.Value();
    if (const auto found = schema.find("additionalProperties"); found != schema.end()) {
      const bool none = found->is_boolean() && !found->get<bool>();
      more = none ? -1 : Read(*found, at + "/additionalProperties");
    }
    const std::vector<std::string> order = Required(schema, at);
    std::set<std::string> required(order.begin(), order.end());
    std::vector<JsonGrammar::Member> members;
    if (const auto found = schema.find("properties"); found != schema.end()) {
      if (!found->is_object()) Refuse(at, "properties", "must be an object");
      for (const auto& [name, property] : found->items()) {
        members.push_back(
            {name, Read(property, Below(at + "/properties", name)), required.erase(name) > 0});
      }
    }
    // Names that must be there and of which nothing else is said.
    for (const std::string& name : order) {
      if (!required.contains(name)) continue;
      if (more < 0 && schema.contains("additionalProperties")) {
        Refuse(
            at, "required",
            fmt::format("names '{}', which 'additionalProperties' forbids", Printable(name, 60)));
      }
      members.push_back({name, more < 0 ? json_.Value() : more, true});
    }
    if (members.size() > kMostProperties) {
      Refuse(at, "properties",
             fmt::format("are {}; at most {} are taken", members.size(), kMostProperties));
    }
    return json_.Object(members, more);
  }

  Rule ArrayOf(const Json& schema, const std::string& at) {
    const auto [least, most] = Counts(schema, at, "minItems", "maxItems");
    std::vector<Rule> first;
    if (const auto found = schema.find("prefixItems"); found != schema.end()) {
      if (!found->is_array() || found->empty())
        Refuse(at, "prefixItems", "must be an array of schemas");
      for (size_t i = 0; i < found->size(); ++i)
        first.push_back(Read((*found)[i], fmt::format("{}/prefixItems/{}", at, i)));
    }
    Rule more = first.empty() ? json_.Value() : -1;
    if (const auto found = schema.find("items"); found != schema.end()) {
      if (found->is_array()) Refuse(at, "items", "must be one schema; use 'prefixItems'");
      const bool none = found->is_boolean() && !found->get<bool>();
      more = none ? -1 : Read(*found, at + "/items");
    }
    if (more < 0 && least > static_cast<int32_t>(first.size()))
      Refuse(at, "minItems", "is larger than the number of items that there may be");
    return json_.Array(first, more, least, most);
  }

  JsonGrammar& json_;
  const Json& root_;
  const std::string name_;
  std::map<std::string, Rule> made_;
  int nested_ = 0;
  // Of what reads the strings of enums.
  size_t strings_nodes_ = 0;
  int64_t strings_found_ = 0;
};

}  // namespace

ByteGrammar::Rule AddJsonSchema(JsonGrammar* json, const nlohmann::ordered_json& schema,
                                const std::string& name) {
  if (schema.dump().size() > kMostSchemaBytes)
    Fail("{}: it has over {} KiB; make it smaller", name, kMostSchemaBytes >> 10);
  return Reader(json, schema, name).Read(schema, "");
}

}  // namespace darkhorse
