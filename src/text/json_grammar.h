// JSON as rules of a grammar over bytes: what a model may write where a value of JSON is asked for.
//
// It is less than all of JSON, so that every text comes to an end: white space stands where
// printers put it, and one space, or a line's end and an indentation at most; numbers are those
// that a double or 64 bits hold. Strings are UTF-8 without lone surrogates.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_grammar.h"

namespace darkhorse {

// Adds rules to a grammar; each is made when it is first asked for.
class JsonGrammar {
 public:
  using Rule = ByteGrammar::Rule;
  using Node = ByteGrammar::Node;

  explicit JsonGrammar(ByteGrammar* grammar) : grammar_(*grammar) {}

  ByteGrammar& grammar() { return grammar_; }

  Rule Space();                       // between the signs of objects and arrays; may be none
  Rule Value();                       // any
  Rule Object();                      // any
  Rule Array();                       // any
  Rule Number(bool negative = true);  // or not below 0
  static constexpr int64_t kLargest = 999'999'999'999'999'999;
  // From `least` to `most`, which lie between -kLargest and kLargest.
  Rule Integer(int64_t least = -kLargest, int64_t most = kLargest);
  Rule Null();
  Rule Boolean();
  Rule Nothing();  // reads no text at all, not even the empty one
  // A string of so many characters.
  Rule String(int32_t least = 0, int32_t most = ByteGrammar::kUnbounded);
  // Any of these texts.
  Rule AnyOf(const std::vector<std::string>& texts);

  struct Member {
    std::string name;
    Rule value;
    bool required = false;
  };
  // An object with these members in their order, then others of `more` if that is not negative.
  Rule Object(const std::vector<Member>& members, Rule more);
  // An array that begins with `first`, then has items of `more` if that is not negative; of so many
  // in all.
  Rule Array(const std::vector<Rule>& first, Rule more, int32_t least = 0,
             int32_t most = ByteGrammar::kUnbounded);

 private:
  bool IsValue(Rule rule) const;  // Value()
  Rule KeyOtherThan(const std::vector<Member>& members);
  // Reads the text, sharing the way with others that were added to the same `ways`.
  using Ways = std::map<std::pair<Node, char>, Node>;
  Node AddShared(Ways* ways, Node from, const std::string& text);
  void AddCharacter(Node from, Node to, ByteGrammar::Counting counting);
  Node AddDigits(Node from, int most, const std::vector<Node>& ends);
  void AddBetween(Node from, int64_t least, int64_t most, Node end);

  ByteGrammar& grammar_;
  std::map<std::string, Rule> made_;
};

// The spelling of a string, quotes and all.
std::string JsonSpelling(const std::string& text);

}  // namespace darkhorse
