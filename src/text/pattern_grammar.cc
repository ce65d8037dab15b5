#include "text/pattern_grammar.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "text/pattern.h"

namespace darkhorse {
namespace {

using Node = ByteGrammar::Node;
using Rule = ByteGrammar::Rule;
using Counting = ByteGrammar::Counting;

// Code points whose UTF-8 has as many bytes, surrogates left out.
constexpr std::pair<char32_t, char32_t> kLengths[] = {
    {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}};
// Characters that a string escapes, and with what.
constexpr std::pair<char32_t, char> kEscapes[] = {
    {'"', '"'}, {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
const CharacterSet kAny = {{0, 0x10FFFF}};

class Builder {
 public:
  Builder(ByteGrammar* grammar, Rule rule, bool counts, size_t most_nodes)
      : grammar_(*grammar),
        rule_(rule),
        counting_(counts ? Counting::kOneMore : Counting::kNot),
        most_nodes_(most_nodes) {}

  // What one way matches, from a node on; returns where it has matched.
  Node AddWay(const PatternWay& way, Node from) {
    const Node begun = way.from_start ? from : AddAnything(from);
    const Node matched = Add(way.what, begun);
    return way.to_end ? matched : AddAnything(matched);
  }

 private:
  Node NewNode() {
    if (grammar_.nodes() >= most_nodes_) Fail("is too large; let it repeat less");
    return grammar_.AddNode(rule_);
  }

  Node AddAnything(Node from) {
    const Node loop = NewNode();
    grammar_.AddSkip(from, loop);
    AddSet(loop, kAny, loop);
    return loop;
  }

  Node Add(const Pattern& pattern, Node from) {
    switch (pattern.kind) {
      case Pattern::Kind::kSet: {
        const Node to = NewNode();
        AddSet(from, pattern.set, to);
        return to;
      }
      case Pattern::Kind::kSequence: {
        for (const Pattern& part : pattern.parts) from = Add(part, from);
        return from;
      }
      case Pattern::Kind::kChoice: {
        const Node to = NewNode();
        for (const Pattern& part : pattern.parts) grammar_.AddSkip(Add(part, from), to);
        return to;
      }
      case Pattern::Kind::kRepeat:
        return AddRepeat(pattern, from);
    }
    CHECK(false);
    return from;
  }

  Node AddRepeat(const Pattern& pattern, Node from) {
    const Pattern& part = pattern.parts.front();
    for (int32_t i = 0; i < pattern.least; ++i) from = Add(part, from);
    const Node end = NewNode();
    if (pattern.most == Pattern::kUnbounded) {
      grammar_.AddSkip(from, end);
      grammar_.AddSkip(Add(part, end), end);
      return end;
    }
    grammar_.AddSkip(from, end);
    for (int32_t i = pattern.least; i < pattern.most; ++i) {
      from = Add(part, from);
      grammar_.AddSkip(from, end);
    }
    return end;
  }

  void AddSet(Node from, const CharacterSet& set, Node to) {
    const auto has = [&](char32_t character) {
      return std::any_of(set.begin(), set.end(), [&](const auto& range) {
        return range.first <= character && character <= range.second;
      });
    };
    Node escape = -1;
    for (const auto& [character, sign] : kEscapes) {
      if (!has(character)) continue;
      if (escape < 0) {
        escape = NewNode();
        grammar_.AddByte(from, '\\', escape, counting_);
      }
      grammar_.AddByte(escape, sign, to);
    }
    for (const auto& [low, high] : set) {
      for (const auto& [first, last] :
           {std::pair<char32_t, char32_t>{' ', '!'}, {'#', '['}, {']', 0x7F}}) {
        const char32_t begin = std::max(low, first), end = std::min(high, last);
        if (begin <= end) {
          grammar_.AddEdge(from, static_cast<uint8_t>(begin), static_cast<uint8_t>(end), to,
                           counting_);
        }
      }
      for (const auto& [first, last] : kLengths) {
        const char32_t begin = std::max(low, first), end = std::min(high, last);
        if (begin > end) continue;
        std::string lowest, highest;
        AppendUtf8(begin, &lowest);
        AppendUtf8(end, &highest);
        AddBytes(from, lowest, highest, to, counting_);
      }
    }
  }

  // The encodings from `low` to `high`, which have as many bytes.
  void AddBytes(Node from, const std::string& low, const std::string& high, Node to,
                Counting counting) {
    int first = static_cast<uint8_t>(low[0]), last = static_cast<uint8_t>(high[0]);
    if (low.size() == 1) {
      grammar_.AddEdge(from, static_cast<uint8_t>(first), static_cast<uint8_t>(last), to, counting);
      return;
    }
    const std::string lowest(low.size() - 1, '\x80'), highest(low.size() - 1, '\xBF');
    const auto add = [&](int begin, int end, const std::string& from_rest,
                         const std::string& to_rest) {
      const Node behind = NewNode();
      grammar_.AddEdge(from, static_cast<uint8_t>(begin), static_cast<uint8_t>(end), behind,
                       counting);
      AddBytes(behind, from_rest, to_rest, to, Counting::kNot);
    };
    const std::string low_rest = low.substr(1), high_rest = high.substr(1);
    if (first == last) return add(first, first, low_rest, high_rest);
    if (low_rest != lowest) {
      add(first, first, low_rest, highest);
      ++first;
    }
    if (high_rest != highest) {
      add(last, last, lowest, high_rest);
      --last;
    }
    if (first <= last) add(first, last, lowest, highest);
  }

  ByteGrammar& grammar_;
  const Rule rule_;
  const Counting counting_;
  const size_t most_nodes_;
};

}  // namespace

Rule AddPatternString(ByteGrammar* grammar, std::string_view pattern, int32_t least, int32_t most,
                      size_t most_nodes) {
  const std::vector<PatternWay> ways = ParsePattern(pattern);
  const bool counts = least > 0 || most != ByteGrammar::kUnbounded;
  const Rule rule = grammar->AddRule(least, most);
  const Node start = grammar->AddText(grammar->Start(rule), "\"");
  const Node matched = grammar->AddNode(rule), end = grammar->AddNode(rule);
  Builder builder(grammar, rule, counts, most_nodes);
  for (const PatternWay& way : ways) grammar->AddSkip(builder.AddWay(way, start), matched);
  grammar->AddByte(matched, '"', end, counts ? Counting::kEnough : Counting::kNot);
  grammar->SetEnd(end);
  return rule;
}

}  // namespace darkhorse
