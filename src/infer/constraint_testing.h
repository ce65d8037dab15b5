// Tests only: a small language with nesting, counts and free text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/byte_grammar.h"

namespace darkhorse {

// value = '"' any ASCII letter * '"' | '<' one to three letters '>' | '[' ( value ( ',' value )* )?
// ']'
inline std::shared_ptr<const ByteGrammar> SmallLanguage() {
  using Counting = ByteGrammar::Counting;
  auto grammar = std::make_shared<ByteGrammar>();
  const auto value = grammar->AddRule(), free = grammar->AddRule(), few = grammar->AddRule(1, 3),
             list = grammar->AddRule();
  const auto end = grammar->AddNode(value);
  grammar->SetEnd(end);
  for (const auto rule : {free, few, list}) grammar->AddCall(grammar->Start(value), rule, end);
  const auto text = grammar->AddText(grammar->Start(free), "\"");
  grammar->AddEdge(text, 'a', 'z', text);
  grammar->SetEnd(grammar->AddText(text, "\""));
  const auto counted = grammar->AddText(grammar->Start(few), "<");
  const auto closed = grammar->AddNode(few);
  grammar->SetEnd(closed);
  grammar->AddEdge(counted, 'a', 'z', counted, Counting::kOneMore);
  grammar->AddByte(counted, '>', closed, Counting::kEnough);
  const auto open = grammar->AddText(grammar->Start(list), "[");
  const auto item = grammar->AddCall(open, value);
  grammar->AddCall(grammar->AddText(item, ","), value, item);
  const auto shut = grammar->AddNode(list);
  grammar->SetEnd(shut);
  grammar->AddByte(open, ']', shut);
  grammar->AddByte(item, ']', shut);
  grammar->Finish(value);
  return grammar;
}

}  // namespace darkhorse
