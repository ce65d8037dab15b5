#include "text/json_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace darkhorse {
namespace {

using Counting = ByteGrammar::Counting;

// Of an indentation.
constexpr int kMostSpaces = 40, kMostTabs = 10;
// Of a number: the digits that 64 bits hold of an integer; those that a double can tell apart, and
// of its exponent.
constexpr int kIntegerDigits = 18, kNumberDigits = 16, kExponentDigits = 2;

}  // namespace

std::string JsonSpelling(const std::string& text) { return nlohmann::json(text).dump(); }

JsonGrammar::Rule JsonGrammar::Space() {
  const auto [made, is_new] = made_.try_emplace("space");
  if (!is_new) return made->second;
  const Rule rule = made->second = grammar_.AddRule();
  const Node start = grammar_.Start(rule);
  grammar_.SetEnd(start);
  grammar_.SetEnd(grammar_.AddText(start, " "));
  const Node line = grammar_.AddText(start, "\n");
  grammar_.SetEnd(line);
  const std::pair<const char*, int> indentations[] = {{" ", kMostSpaces}, {"\t", kMostTabs}};
  for (const auto& [sign, most] : indentations) {
    Node at = line;
    for (int i = 0; i < most; ++i) {
      at = grammar_.AddText(at, sign);
      grammar_.SetEnd(at);
    }
  }
  return rule;
}

JsonGrammar::Rule JsonGrammar::Nothing() {
  const auto [made, is_new] = made_.try_emplace("nothing");
  if (is_new) made->second = grammar_.AddRule();
  return made->second;
}

JsonGrammar::Rule JsonGrammar::Null() { return AnyOf({"null"}); }
JsonGrammar::Rule JsonGrammar::Boolean() { return AnyOf({"true", "false"}); }
JsonGrammar::Rule JsonGrammar::Object() { return Object({}, Value()); }
JsonGrammar::Rule JsonGrammar::Array() { return Array({}, Value()); }

JsonGrammar::Rule JsonGrammar::Value() {
  const auto [made, is_new] = made_.try_emplace("value");
  if (!is_new) return made->second;
  const Rule rule = made->second = grammar_.AddRule();
  const Node end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  for (const Rule one : {String(), Number(), Object(), Array(), Boolean(), Null()})
    grammar_.AddCall(grammar_.Start(rule), one, end);
  return rule;
}

bool JsonGrammar::IsValue(Rule rule) const {
  const auto found = made_.find("value");
  return found != made_.end() && found->second == rule;
}

JsonGrammar::Node JsonGrammar::AddShared(Ways* ways, Node from, const std::string& text) {
  for (const char byte : text) {
    const auto [way, is_new] = ways->try_emplace({from, byte});
    if (is_new) way->second = grammar_.AddText(from, std::string_view(&byte, 1));
    from = way->second;
  }
  return from;
}

JsonGrammar::Rule JsonGrammar::AnyOf(const std::vector<std::string>& texts) {
  std::string key = "texts";
  for (const std::string& text : texts) key += '\0' + text;
  const auto [made, is_new] = made_.try_emplace(key);
  if (!is_new) return made->second;
  const Rule rule = made->second = grammar_.AddRule();
  Ways ways;
  for (const std::string& text : texts)
    grammar_.SetEnd(AddShared(&ways, grammar_.Start(rule), text));
  return rule;
}

// From a node where a digit must stand; `ends`: where the number may go on behind each digit.
JsonGrammar::Node JsonGrammar::AddDigits(Node from, int most, const std::vector<Node>& ends) {
  for (int i = 0; i < most; ++i) {
    const Node next = grammar_.AddNode(grammar_.place(from).rule);
    grammar_.AddEdge(from, '0', '9', next);
    for (const Node end : ends) grammar_.AddSkip(next, end);
    from = next;
  }
  return from;
}

// The numbers from `least` to `most`, which are not below 0, without leading zeros.
void JsonGrammar::AddBetween(Node from, int64_t least, int64_t most, Node end) {
  const Rule rule = grammar_.place(from).rule;
  std::vector<Node> free = {end};  // from where so many digits of any kind lead to the end
  const auto any = [&](size_t digits) {
    while (free.size() <= digits) {
      const Node node = grammar_.AddNode(rule);
      grammar_.AddEdge(node, '0', '9', free.back());
      free.push_back(node);
    }
    return free[digits];
  };
  // Numbers of as many digits as both have; low, high: whether those so far are theirs.
  struct Begun {
    Node node;
    bool low, high;
  };
  const auto add = [&](const std::string& first, const std::string& last) {
    std::vector<Begun> begun = {{from, true, true}};
    for (size_t i = 0; i < first.size(); ++i) {
      std::vector<Begun> next;
      for (const auto& [node, low, high] : begun) {
        char lowest = low ? first[i] : '0', highest = high ? last[i] : '9';
        const auto edge = [&](char digit, bool is_low, bool is_high) {
          next.push_back({grammar_.AddNode(rule), is_low, is_high});
          grammar_.AddByte(node, digit, next.back().node);
        };
        if (low) edge(lowest, true, high && lowest == highest);
        if (high && !(low && lowest == highest)) edge(highest, false, true);
        lowest = static_cast<char>(lowest + low);
        highest = static_cast<char>(highest - high);
        if (lowest <= highest) {
          grammar_.AddEdge(node, static_cast<uint8_t>(lowest), static_cast<uint8_t>(highest),
                           any(first.size() - i - 1));
        }
      }
      begun = std::move(next);
    }
    for (const Begun& whole : begun) grammar_.AddSkip(whole.node, end);
  };
  int64_t smallest = 0;
  for (int digits = 1; digits <= kIntegerDigits && smallest <= most; ++digits) {
    const int64_t behind = digits == 1 ? 10 : smallest * 10;
    const int64_t low = std::max(least, smallest), high = std::min(most, behind - 1);
    if (low <= high) add(std::to_string(low), std::to_string(high));
    smallest = behind;
  }
}

JsonGrammar::Rule JsonGrammar::Integer(int64_t least, int64_t most) {
  CHECK(-kLargest <= least && least <= most && most <= kLargest);
  const auto [made, is_new] = made_.try_emplace(fmt::format("integer {} {}", least, most));
  if (!is_new) return made->second;
  const Rule rule = made->second = grammar_.AddRule();
  const Node start = grammar_.Start(rule), end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  if (most >= 0) AddBetween(start, std::max<int64_t>(least, 0), most, end);
  if (least < 0) AddBetween(grammar_.AddText(start, "-"), std::max<int64_t>(-most, 1), -least, end);
  return rule;
}

JsonGrammar::Rule JsonGrammar::Number(bool negative) {
  const auto [made, is_new] = made_.try_emplace(negative ? "number" : "number from 0");
  if (!is_new) return made->second;
  const Rule rule = made->second = grammar_.AddRule();
  const Node start = grammar_.Start(rule), first = grammar_.AddNode(rule),
             whole = grammar_.AddNode(rule), part = grammar_.AddNode(rule),
             one = grammar_.AddNode(rule);
  // Behind the whole part a fraction may follow, behind that an exponent.
  grammar_.SetEnd(part);
  grammar_.AddSkip(whole, part);
  if (negative) grammar_.AddByte(start, '-', first);
  grammar_.AddSkip(start, first);
  grammar_.AddByte(first, '0', whole);
  grammar_.AddEdge(first, '1', '9', one);
  grammar_.AddSkip(one, whole);
  AddDigits(one, kNumberDigits - 1, {whole});
  AddDigits(grammar_.AddText(whole, "."), kNumberDigits, {part});
  const Node sign = grammar_.AddNode(rule), exponent = grammar_.AddNode(rule),
             end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  grammar_.AddByte(part, 'e', sign);
  grammar_.AddByte(part, 'E', sign);
  grammar_.AddByte(sign, '+', exponent);
  grammar_.AddByte(sign, '-', exponent);
  grammar_.AddSkip(sign, exponent);
  AddDigits(exponent, kExponentDigits, {end});
  return rule;
}

// One character of a string as JSON spells it: UTF-8 as RFC 3629 has it, or an escape; of two
// escapes that are one character (surrogates) both.
void JsonGrammar::AddCharacter(Node from, Node to, Counting counting) {
  const Rule rule = grammar_.place(from).rule;
  const auto node = [&] { return grammar_.AddNode(rule); };
  const auto first = [&](int low, int high, Node next) {
    grammar_.AddEdge(from, static_cast<uint8_t>(low), static_cast<uint8_t>(high), next, counting);
  };
  first(0x20, 0x21, to);
  first(0x23, 0x5B, to);
  first(0x5D, 0x7F, to);
  const Node last = node(), two = node(), e0 = node(), ed = node(), f0 = node(), three = node(),
             f4 = node();
  grammar_.AddEdge(last, 0x80, 0xBF, to);
  grammar_.AddEdge(two, 0x80, 0xBF, last);
  grammar_.AddEdge(three, 0x80, 0xBF, two);
  grammar_.AddEdge(e0, 0xA0, 0xBF, last);
  grammar_.AddEdge(ed, 0x80, 0x9F, last);
  grammar_.AddEdge(f0, 0x90, 0xBF, two);
  grammar_.AddEdge(f4, 0x80, 0x8F, two);
  first(0xC2, 0xDF, last);
  first(0xE0, 0xE0, e0);
  first(0xE1, 0xEC, two);
  first(0xED, 0xED, ed);
  first(0xEE, 0xEF, two);
  first(0xF0, 0xF0, f0);
  first(0xF1, 0xF3, three);
  first(0xF4, 0xF4, f4);

  const Node escape = node(), code = node();
  first('\\', '\\', escape);
  for (const char sign : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'})
    grammar_.AddByte(escape, sign, to);
  grammar_.AddByte(escape, 'u', code);
  const auto hex = [&](Node at, Node next, const char* but) {  // any digit but these
    for (const char* digit = "0123456789abcdefABCDEF"; *digit; ++digit) {
      if (std::string_view(but).find(*digit) == std::string_view::npos)
        grammar_.AddByte(at, *digit, next);
    }
  };
  const auto hexes = [&](Node at, int count, Node next) {
    for (; count > 1; --count) {
      const Node between = node();
      hex(at, between, "");
      at = between;
    }
    hex(at, next, "");
  };
  const Node plain = node(), d = node(), below = node(), high = node(), low = node();
  hex(code, plain, "dD");
  hexes(plain, 3, to);
  for (const char sign : {'d', 'D'}) grammar_.AddByte(code, sign, d);
  hex(d, below, "89abcdefABCDEF");  // U+D000 … U+D7FF
  hexes(below, 2, to);
  hex(d, high, "01234567cdefCDEF");
  const Node second = node(), third = node();
  hexes(high, 2, second);
  const Node begun = grammar_.AddText(second, "\\u");
  for (const char sign : {'d', 'D'}) grammar_.AddByte(begun, sign, third);
  hex(third, low, "0123456789abAB");
  hexes(low, 2, to);
}

JsonGrammar::Rule JsonGrammar::String(int32_t least, int32_t most) {
  const auto [made, is_new] = made_.try_emplace(fmt::format("string {} {}", least, most));
  if (!is_new) return made->second;
  const Rule rule = made->second = grammar_.AddRule(least, most);
  const bool counts = least > 0 || most != ByteGrammar::kUnbounded;
  const Node body = grammar_.AddText(grammar_.Start(rule), "\""), end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  AddCharacter(body, body, counts ? Counting::kOneMore : Counting::kNot);
  grammar_.AddByte(body, '"', end, counts ? Counting::kEnough : Counting::kNot);
  return rule;
}

// Any string that is none of the names. As long as it begins like one of them, it is spelt as they
// are: an escape might stand for what a name goes on with.
JsonGrammar::Rule JsonGrammar::KeyOtherThan(const std::vector<Member>& members) {
  if (members.empty()) return String();
  const Rule rule = grammar_.AddRule();
  const Node start = grammar_.AddText(grammar_.Start(rule), "\"");
  const Node other = grammar_.AddNode(rule), end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  AddCharacter(other, other, Counting::kNot);
  grammar_.AddByte(other, '"', end);
  // A place on the way to names.
  struct Place {
    Node shadow;       // where any other string would be here
    std::string next;  // bytes that names go on with
    bool complete = false, escape = false;
  };
  Ways ways;
  std::map<Node, Place> places = {{start, {other, ""}}};
  const auto follow = [&](Node node, char byte) {
    for (const ByteGrammar::Edge& edge : grammar_.place(node).edges) {
      const auto wanted = static_cast<uint8_t>(byte);
      if (edge.low <= wanted && wanted <= edge.high) return edge.to;
    }
    CHECK(false);
    return node;
  };
  for (const Member& member : members) {
    const std::string spelling = JsonSpelling(member.name);
    Node at = start;
    for (const char byte : spelling.substr(1, spelling.size() - 2)) {
      Place& from = places.at(at);
      from.next += byte;
      at = AddShared(&ways, at, std::string(1, byte));
      const Node shadow = follow(from.shadow, byte);
      const bool escape = (from.escape || byte == '\\') && shadow != other;
      places.try_emplace(at, Place{shadow, "", false, escape});
    }
    places.at(at).complete = true;
  }
  for (const auto& [at, place] : places) {
    if (place.escape) continue;
    if (place.shadow == other && !place.complete) grammar_.AddByte(at, '"', end);
    const std::vector<ByteGrammar::Edge> leaving = grammar_.place(place.shadow).edges;
    const auto leaves = [&](int byte) {
      return byte != '"' && byte != '\\' &&
             place.next.find(static_cast<char>(byte)) == std::string::npos;
    };
    for (const ByteGrammar::Edge& edge : leaving) {
      for (int low = edge.low; low <= edge.high; ++low) {
        int behind = low;
        while (behind <= edge.high && leaves(behind)) ++behind;
        if (behind == low) continue;
        grammar_.AddEdge(at, static_cast<uint8_t>(low), static_cast<uint8_t>(behind - 1), edge.to);
        low = behind;
      }
    }
  }
  return rule;
}

JsonGrammar::Rule JsonGrammar::Object(const std::vector<Member>& members, Rule more) {
  // Any object refers to any value, which refers back.
  const bool any = members.empty() && IsValue(more);
  if (any && made_.contains("object")) return made_["object"];
  const Rule rule = grammar_.AddRule();
  if (any) made_["object"] = rule;
  const size_t count = members.size();
  const auto nodes = [&] {
    std::vector<Node> made;
    for (size_t i = 0; i <= count; ++i) made.push_back(grammar_.AddNode(rule));
    return made;
  };
  // At member i, with nothing written yet; with a comma written; with a value written before it.
  const std::vector<Node> first = nodes(), next = nodes(), done = nodes();
  const Node end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  grammar_.AddCall(grammar_.AddText(grammar_.Start(rule), "{"), Space(), first.front());
  const auto value = [&](Node key, Rule rule_of_value, Node behind) {
    grammar_.AddCall(grammar_.AddCall(grammar_.AddText(key, ":"), Space()), rule_of_value, behind);
  };
  for (size_t i = 0; i < count; ++i) {
    const Node key = grammar_.AddNode(rule);
    grammar_.AddSkip(first[i], key);
    grammar_.AddSkip(next[i], key);
    value(grammar_.AddText(key, JsonSpelling(members[i].name)), members[i].value, done[i + 1]);
    if (members[i].required) continue;
    grammar_.AddSkip(first[i], first[i + 1]);
    if (i + 1 < count || more >= 0) grammar_.AddSkip(next[i], next[i + 1]);
  }
  if (more >= 0) {
    const Node key = grammar_.AddNode(rule);
    grammar_.AddSkip(first.back(), key);
    grammar_.AddSkip(next.back(), key);
    value(grammar_.AddCall(key, KeyOtherThan(members)), more, done.back());
  }
  grammar_.AddByte(first.back(), '}', end);
  for (size_t i = count + 1; i-- > 0;) {
    grammar_.AddByte(grammar_.AddCall(done[i], Space()), '}', end);
    if (i > 0 && members[i - 1].required) break;
  }
  for (size_t i = 0; i <= count; ++i) {
    if (i == count && more < 0) break;
    grammar_.AddCall(grammar_.AddText(done[i], ","), Space(), next[i]);
  }
  return rule;
}

JsonGrammar::Rule JsonGrammar::Array(const std::vector<Rule>& first, Rule more, int32_t least,
                                     int32_t most) {
  const bool any = first.empty() && IsValue(more) && least == 0 && most == ByteGrammar::kUnbounded;
  if (any && made_.contains("array")) return made_["array"];
  const Rule rule = grammar_.AddRule(least, most);
  if (any) made_["array"] = rule;
  const Node end = grammar_.AddNode(rule);
  grammar_.SetEnd(end);
  // Where an item may stand, and behind it.
  Node item = grammar_.AddCall(grammar_.AddText(grammar_.Start(rule), "["), Space());
  if (least == 0) grammar_.AddByte(item, ']', end);
  const auto comma = [&](Node from, Node to) {
    const Node behind = grammar_.AddNode(rule);
    grammar_.AddByte(from, ',', behind, Counting::kOneMore);
    grammar_.AddCall(behind, Space(), to);
  };
  for (size_t i = 0; i < first.size(); ++i) {
    // The comma counts an item, and the first one, which has none, its call.
    const Node behind = grammar_.AddNode(rule);
    grammar_.AddCall(item, first[i], behind, i == 0 ? Counting::kOneMore : Counting::kNot);
    if (static_cast<int32_t>(i) + 1 >= least)
      grammar_.AddByte(grammar_.AddCall(behind, Space()), ']', end);
    if (i + 1 == first.size() && more < 0) return rule;
    item = grammar_.AddNode(rule);
    comma(behind, item);
  }
  if (more < 0) return rule;
  const Node behind = grammar_.AddNode(rule), again = grammar_.AddNode(rule);
  grammar_.AddCall(item, more, behind, first.empty() ? Counting::kOneMore : Counting::kNot);
  // Asked before the white space, behind which no comma stands.
  const Node closing = grammar_.AddNode(rule);
  grammar_.AddCall(behind, Space(), closing, Counting::kEnough);
  grammar_.AddByte(closing, ']', end);
  comma(behind, again);
  grammar_.AddCall(again, more, behind);
  return rule;
}

}  // namespace darkhorse
