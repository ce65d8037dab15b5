#include "text/answer_grammar.h"

#include <string>
#include <string_view>

#include "text/tags.h"

namespace darkhorse {
namespace {

using Node = ByteGrammar::Node;

// Reads any bytes up to and with the first place where `tag` stands, to `behind`: the automaton of
// Knuth, Morris and Pratt.
void AddUpTo(ByteGrammar* grammar, Node from, std::string_view tag, Node behind) {
  std::vector<Node> read = {from};  // so many bytes of the tag
  while (read.size() < tag.size()) read.push_back(grammar->AddNode(grammar->place(from).rule));
  read.push_back(behind);
  for (size_t length = 0; length < tag.size(); ++length) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string text = std::string(tag.substr(0, length)) + static_cast<char>(byte);
      size_t kept = text.size();
      while (!tag.starts_with(std::string_view(text).substr(text.size() - kept))) --kept;
      grammar->AddByte(read[length], static_cast<char>(byte), read[kept]);
    }
  }
}

}  // namespace

ByteGrammar::Rule AddAnswer(ByteGrammar* grammar, AnswerThought thought, ByteGrammar::Rule said) {
  const ByteGrammar::Rule rule = grammar->AddRule();
  const Node start = grammar->Start(rule), content = grammar->AddNode(rule),
             end = grammar->AddNode(rule);
  grammar->SetEnd(end);
  grammar->AddCall(content, said, end);
  grammar->AddCall(grammar->AddText(content, " "), said, end);
  const Node line = grammar->AddText(content, "\n");
  grammar->AddCall(line, said, end);
  grammar->AddCall(grammar->AddText(line, "\n"), said, end);
  if (thought == AnswerThought::kOpen) {
    AddUpTo(grammar, start, kThinkClose, content);
    return rule;
  }
  grammar->AddSkip(start, content);
  if (thought == AnswerThought::kAllowed)
    AddUpTo(grammar, grammar->AddText(start, kThinkOpen), kThinkClose, content);
  return rule;
}

}  // namespace darkhorse
