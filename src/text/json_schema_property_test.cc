#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/json_schema_testing.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

// The same language once more, slowly and otherwise: where a document of the schema that begins at
// `at` may end.
class Slow {
 public:
  Slow(const Json& root, std::string_view text) : root_(root), text_(text) {}

  using Ends = std::set<size_t>;

  Ends Document(const Json& schema, size_t at) const {
    const auto [known, is_new] = known_.try_emplace({&schema, at});
    if (is_new) known->second = Find(schema, at);
    return known->second;
  }

 private:
  Ends Find(const Json& schema, size_t at) const {
    static const Json kAnything = Json::object();
    if (schema.is_boolean()) return schema.get<bool>() ? Document(kAnything, at) : Ends{};
    Ends ends;
    const auto add = [&](const Ends& more) { ends.insert(more.begin(), more.end()); };
    if (schema.contains("nullable") && schema["nullable"]) add(Word("null", at));
    if (schema.contains("$ref")) {
      const Json::json_pointer pointer(schema["$ref"].get<std::string>().substr(1));
      add(Document(root_.at(pointer), at));
      return ends;
    }
    for (const char* of : {"anyOf", "oneOf"}) {
      if (!schema.contains(of)) continue;
      for (const Json& one : schema[of]) add(Document(one, at));
      return ends;
    }
    if (schema.contains("enum")) {
      for (const Json& value : schema["enum"]) {
        if (Holds(value, schema)) add(Word(value.dump(), at));
      }
      return ends;
    }
    Json types = schema.contains("type") ? schema["type"] : Json{"object", "array",   "string",
                                                                 "number", "boolean", "null"};
    if (!types.is_array()) types = Json::array({types});
    for (const Json& type : types) {
      if (type == "object") add(Object(schema, at));
      if (type == "array") add(Array(schema, at));
      if (type == "string") add(String(schema, at));
      if (type == "boolean") add(Word("true", at)), add(Word("false", at));
      if (type == "null") add(Word("null", at));
      if (type == "integer" || type == "number") add(Number(type == "integer", at));
    }
    return ends;
  }

  // Of a value, whether all of the schema but its 'enum' allows it.
  static bool Holds(const Json& value, const Json& schema) {
    for (const auto& [keyword, said] : schema.items()) {
      if (keyword == "type") {
        const Json types = said.is_array() ? said : Json::array({said});
        const std::string type = value.is_number_integer() ? "integer" : value.type_name();
        const bool is_number =
            value.is_number() && std::find(types.begin(), types.end(), "number") != types.end();
        if (!is_number && std::find(types.begin(), types.end(), type) == types.end()) return false;
      }
      if (value.is_number()) {
        if (keyword == "minimum" && value < said) return false;
        if (keyword == "maximum" && value > said) return false;
        if (keyword == "exclusiveMinimum" && value <= said) return false;
        if (keyword == "exclusiveMaximum" && value >= said) return false;
      }
      if (value.is_string()) {
        const std::string text = value.get<std::string>();
        size_t length = 0;
        for (const char c : text) length += (c & 0xC0) != 0x80;
        if (keyword == "minLength" && length < said.get<size_t>()) return false;
        if (keyword == "maxLength" && length > said.get<size_t>()) return false;
        if (keyword == "pattern" && !std::regex_search(text, std::regex(said.get<std::string>())))
          return false;
      }
      if (value.is_array()) {
        if (keyword == "minItems" && value.size() < said.get<size_t>()) return false;
        if (keyword == "maxItems" && value.size() > said.get<size_t>()) return false;
      }
      if (value.is_object() && keyword == "required") {
        for (const Json& name : said) {
          if (!value.contains(name.get<std::string>())) return false;
        }
      }
    }
    return true;
  }

  Ends Word(const std::string& word, size_t at) const {
    return text_.substr(at).starts_with(word) ? Ends{at + word.size()} : Ends{};
  }

  // Of any prefix that is a number by itself, as nlohmann's parser knows them.
  Ends Number(bool integer, size_t at) const {
    Ends ends;
    for (size_t end = at + 1; end <= text_.size(); ++end) {
      const std::string word(text_.substr(at, end - at));
      if (word.find_first_not_of("0123456789+-.eE") != word.npos) break;
      const Json value = Json::parse(word, nullptr, /*allow_exceptions=*/false);
      if (!value.is_number()) continue;
      const size_t e = word.find_first_of("eE"), dot = word.find('.');
      const auto digits = [&](size_t begin, size_t stop) {
        return static_cast<size_t>(std::count_if(word.begin() + static_cast<long>(begin),
                                                 word.begin() + static_cast<long>(stop),
                                                 [](char c) { return c >= '0' && c <= '9'; }));
      };
      const size_t mantissa = std::min(e, word.size()), whole = std::min(dot, mantissa);
      if (integer && (e != word.npos || dot != word.npos || word == "-0")) continue;
      if (digits(0, whole) > (integer ? 18 : 16) || digits(whole, mantissa) > 16 ||
          digits(mantissa, word.size()) > 2) {
        continue;
      }
      ends.insert(end);
    }
    return ends;
  }

  Ends String(const Json& schema, size_t at) const {
    if (at >= text_.size() || text_[at] != '"') return {};
    size_t end = at + 1;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return {};
    const std::string word(text_.substr(at, end + 1 - at));
    const Json value = Json::parse(word, nullptr, /*allow_exceptions=*/false);
    if (!value.is_string()) return {};
    const std::string characters = value.get<std::string>();
    const auto length = std::count_if(characters.begin(), characters.end(), [](char c) {
      return (static_cast<uint8_t>(c) & 0xC0) != 0x80;
    });
    if (length < schema.value("minLength", 0) || length > schema.value("maxLength", 1000))
      return {};
    return {end + 1};
  }

  Ends Space(const Ends& begins) const {
    Ends ends = begins;
    for (const size_t at : begins) {
      if (at < text_.size() && text_[at] == ' ') ends.insert(at + 1);
      if (at >= text_.size() || text_[at] != '\n') continue;
      for (const char sign : {' ', '\t'}) {
        for (size_t n = 0; n <= (sign == ' ' ? 40 : 10); ++n) {
          ends.insert(at + 1 + n);
          if (at + 1 + n >= text_.size() || text_[at + 1 + n] != sign) break;
        }
      }
    }
    return ends;
  }
  Ends Sign(const Ends& begins, const std::string& sign) const {
    Ends ends;
    for (const size_t at : begins) ends.merge(Word(sign, at));
    return ends;
  }
  Ends Value(const Json& schema, const Ends& begins) const {
    Ends ends;
    for (const size_t at : begins) ends.merge(Document(schema, at));
    return ends;
  }

  Ends Array(const Json& schema, size_t at) const {
    const int64_t least = schema.value("minItems", 0), most = schema.value("maxItems", 1000);
    const Json& items = schema.contains("items") ? schema["items"] : true_;
    Ends here = Space(Word("[", at));
    Ends ends = least == 0 ? Sign(here, "]") : Ends{};
    for (int64_t count = 1; count <= most && !here.empty(); ++count) {
      here = Value(items, here);
      if (count >= least) ends.merge(Sign(Space(here), "]"));
      here = Space(Sign(here, ","));
    }
    return ends;
  }

  // Members from `next` on, the first of which stands at `here`, then the end.
  Ends Members(const Json& schema, size_t next, const Ends& here, bool first) const {
    if (here.empty()) return {};
    std::vector<std::pair<std::string, const Json&>> members;
    if (schema.contains("properties")) {
      for (const auto& [name, property] : schema["properties"].items())
        members.emplace_back(name, property);
    }
    const auto required = [&](const std::string& name) {
      return schema.contains("required") &&
             std::find(schema["required"].begin(), schema["required"].end(), name) !=
                 schema["required"].end();
    };
    const auto behind = [&](size_t following, const Ends& values) {
      Ends ends;
      bool may_end = true;
      for (size_t i = following; i < members.size(); ++i) may_end &= !required(members[i].first);
      if (may_end) ends.merge(Sign(Space(values), "}"));
      ends.merge(Members(schema, following, Space(Sign(values, ",")), false));
      return ends;
    };
    Ends ends;
    size_t i = next;
    for (; i < members.size(); ++i) {
      const Ends key = Sign(here, Json(members[i].first).dump() + ":");
      ends.merge(behind(i + 1, Value(members[i].second, Space(key))));
      if (required(members[i].first)) break;
    }
    if (i < members.size()) return ends;
    if (first) ends.merge(Sign(here, "}"));
    const Json& more = schema.contains("additionalProperties") ? schema["additionalProperties"]
                       : !schema.contains("properties")        ? true_
                                                               : false_;
    for (const size_t at : here) {
      for (const size_t end : String(Json::object(), at)) {
        const Json key = Json::parse(text_.substr(at, end - at));
        // It is spelt as a name is as far as it is like one, and parts from it in no escape.
        const std::string raw(text_.substr(at + 1, end - at - 2));
        bool same = false;
        size_t like = 0;
        for (const auto& [name, property] : members) {
          const std::string spelt = Json(name).dump();
          same |= key == name;
          size_t common = 0;
          while (common < raw.size() && common + 2 < spelt.size() &&
                 raw[common] == spelt[common + 1])
            ++common;
          like = std::max(like, common);
        }
        same |= like < raw.size() && !members.empty() && raw[like] == '\\';
        same |= like > 0 && raw[like - 1] == '\\';
        if (!same) ends.merge(behind(members.size(), Value(more, Space(Sign({end}, ":")))));
      }
    }
    return ends;
  }
  Ends Object(const Json& schema, size_t at) const {
    return Members(schema, 0, Space(Word("{", at)), true);
  }

  const Json& root_;
  std::string_view text_;
  const Json true_ = true, false_ = false;
  mutable std::map<std::pair<const Json*, size_t>, Ends> known_;
};

bool SlowTakes(const Json& schema, std::string_view text) {
  return Slow(schema, text).Document(schema, 0).contains(text.size());
}

// Random schemas, and documents of them.
class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}

  size_t Below(size_t n) { return bits_() % n; }
  bool Chance(int percent) { return static_cast<int>(Below(100)) < percent; }

  Json Schema(int depth) {
    switch (Below(depth > 0 ? 12 : 6)) {
      case 0:
        return {{"type", "integer"}};
      case 1:
        return {{"type", "number"}, {"nullable", Chance(30)}};
      case 2:
        return {{"type", {"boolean", "null"}}};
      case 3: {
        const size_t least = Below(3);
        return {{"type", "string"}, {"minLength", least}, {"maxLength", least + Below(3)}};
      }
      case 4:
        return {{"type", "string"}};
      case 5:
        return Values();
      case 6:
        return {{"anyOf", {Schema(depth - 1), Schema(depth - 1)}}};
      case 7: {
        const size_t least = Below(3);
        return {{"type", "array"},
                {"items", Schema(depth - 1)},
                {"minItems", least},
                {"maxItems", least + Below(3)}};
      }
      case 8:
        return {{"type", "array"}, {"items", Schema(depth - 1)}};
      case 9:
        return {{"type", {"null", "object"}},
                {"properties", {{"next", {{"$ref", "#"}}}, {"n", {{"type", "null"}}}}}};
      default: {
        Json schema = {{"type", "object"}, {"properties", Json::object()}};
        const char* const names[] = {"a", "ab", "b", "ä", "a\"", "ba"};
        for (const char* name : names) {
          if (!Chance(40)) continue;
          schema["properties"][name] = Schema(depth - 1);
          if (Chance(50)) schema["required"].push_back(name);
        }
        if (Chance(40))
          schema["additionalProperties"] = Chance(50) ? Json(true) : Schema(depth - 1);
        return schema;
      }
    }
  }

  // An enum, often with other keywords beside it.
  Json Values() {
    Json schema = {{"enum", {"a", "ab", "ä", 1, 12, -3.5, nullptr, true}}};
    schema["enum"].insert(schema["enum"].end(), {Json::array(), Json::array({1, "a"})});
    schema["enum"].insert(schema["enum"].end(), {Json{{"a", 1}}, Json{{"a", 1}, {"b", 2}}});
    while (schema["enum"].size() > 1 && Chance(80))
      schema["enum"].erase(Below(schema["enum"].size()));
    const std::pair<const char*, std::vector<Json>> others[] = {
        {"type", {"string", "integer", "number", {"array", "null"}, {"object", "string"}}},
        {"minimum", {1, 1.5}},
        {"maximum", {12, 11.5}},
        {"exclusiveMinimum", {-3.5, 1}},
        {"exclusiveMaximum", {12, 13}},
        {"minLength", {0, 2}},
        {"maxLength", {1, 2}},
        {"pattern", {"^a", "b$"}},
        {"minItems", {0, 1}},
        {"maxItems", {1, 2}},
        {"required", {Json::array({"a"}), Json::array({"a", "b"})}}};
    for (const auto& [keyword, values] : others) {
      if (Chance(20)) schema[keyword] = values[Below(values.size())];
    }
    return Json::parse(schema.dump());  // whose counts have no sign
  }

  // A random walk through the bytes that may follow, then the way out that is found first.
  std::string Document(Documents* documents, size_t most) {
    std::string text;
    auto& reader = documents->reader();
    auto state = reader.Start();
    int tries = 0;
    while (true) {
      if (reader.MayEnd(state) && (Chance(30) || text.size() > most)) return text;
      std::vector<uint8_t> next;
      // Signs first where it should come to an end, in the order in which they lead there.
      if (text.size() > most) {
        for (const char sign : std::string_view("\"]}0ntfau:,/- [{")) {
          if (reader.Next(state, static_cast<uint8_t>(sign)) == ByteGrammarReader::kDead) continue;
          next.push_back(static_cast<uint8_t>(sign));
          break;
        }
      }
      if (next.empty()) {
        for (int byte = 0; byte < 256; ++byte) {
          if (reader.Next(state, static_cast<uint8_t>(byte)) == ByteGrammarReader::kDead) continue;
          // Letters of a string are many.
          const bool letter = byte >= 0x20 && byte != '"' && byte != '\\';
          if (!letter || Chance(20)) next.push_back(static_cast<uint8_t>(byte));
        }
      }
      if (next.empty() && !reader.MayGoOn(state))
        return reader.MayEnd(state) ? text : "no way on from " + text;
      if (next.empty() && ++tries < 1000) continue;
      if (next.empty()) return "no way on from " + text;
      text += static_cast<char>(next[Below(next.size())]);
      state = reader.Next(state, static_cast<uint8_t>(text.back()));
      if (text.size() > most + 2000) return "no way out";
    }
  }

  std::string Mutate(std::string text) {
    static constexpr std::string_view kSigns = "{}[]\",:0a1\\n -.e\xC3\xA4\x80u";
    const size_t at = Below(text.size() + 1);
    const char sign = kSigns[Below(kSigns.size())];
    switch (Below(4)) {
      case 0:
        text.insert(at, 1, sign);
        break;
      case 1:
        if (at < text.size()) text[at] = sign;
        break;
      case 2:
        if (at < text.size()) text.erase(at, 1);
        break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(Below(256));
    }
    return text;
  }

 private:
  std::mt19937_64 bits_;
};

// Not even one that is left over is forgotten, and none is left is told.
TEST(JsonSchema, ValuesAreThoseThatTheSchemaAllows) {
  Random random(3);
  int left = 0, none = 0;
  for (int round = 0; round < 500; ++round) {
    const Json schema = random.Values();
    bool any = false;
    for (const Json& value : schema["enum"]) any |= SlowTakes(schema, value.dump());
    none += !any;
    if (schema.value("minLength", 0) > schema.value("maxLength", 9)) continue;  // is no schema
    if (!any) {
      EXPECT_THROW(Documents{schema}, Error) << schema;
      continue;
    }
    Documents documents(schema);
    for (const Json& value : schema["enum"]) {
      const bool takes = SlowTakes(schema, value.dump());
      ASSERT_EQ(documents.Takes(value.dump()), takes) << schema << "\n" << value;
      left += takes;
    }
  }
  EXPECT_GT(left, 500);
  EXPECT_GT(none, 10);
}

TEST(JsonSchema, EveryDocumentIsJudgedAsByASlowDefinition) {
  Random random(1);
  int right = 0, wrong = 0;
  for (int round = 0; round < 150; ++round) {
    const Json schema = random.Schema(3);
    std::unique_ptr<Documents> documents;
    try {
      documents = std::make_unique<Documents>(schema);
    } catch (const Error&) {  // nothing satisfies it, or it begins with itself
      continue;
    }
    for (int i = 0; i < 4; ++i) {
      const std::string text = random.Document(documents.get(), 60);
      ASSERT_TRUE(SlowTakes(schema, text)) << schema << "\n" << text;
      ASSERT_TRUE(documents->Takes(text)) << schema << "\n" << text;
      ASSERT_TRUE(TryParseJson<Json>(text, nullptr, 512) || text.find("\"a") != text.npos ||
                  text.find("\":") != text.npos)
          << text;
      ++right;
      for (int m = 0; m < 6; ++m) {
        const std::string other = random.Mutate(random.Chance(30) ? random.Mutate(text) : text);
        const bool takes = SlowTakes(schema, other);
        ASSERT_EQ(documents->Takes(other), takes) << schema << "\n" << other;
        wrong += !takes;
      }
    }
  }
  EXPECT_GT(right, 400);
  EXPECT_GT(wrong, 1000);
}

// What other printers write is read to its end, and each beginning of it too.
TEST(JsonSchema, PrintedDocumentsAreRead) {
  Random random(2);
  Documents any("{}");
  for (int i = 0; i < 100; ++i) {
    const std::string text = random.Document(&any, 100);
    const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(value.is_discarded()) << text;
    for (const int indent : {-1, 2, 4}) {
      const std::string printed = value.dump(indent);
      if (printed.find("e+") != printed.npos || printed.find("e-") != printed.npos) continue;
      if (printed.find("00000000000000000") != printed.npos) continue;  // digits beyond a double's
      EXPECT_EQ(any.Read(printed), printed.size()) << printed;
      EXPECT_TRUE(any.Takes(printed)) << printed;
    }
  }
}

}  // namespace
}  // namespace darkhorse
