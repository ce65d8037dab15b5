#include "serve/answer_forms.h"

#include <algorithm>

#include "base/error.h"
#include "text/json_schema.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

constexpr size_t kMostKept = 16;

std::string KeyOf(const AnswerForms::Form& form) {
  nlohmann::ordered_json key = {static_cast<int>(form.thought), form.schema,
                                static_cast<int>(form.format), form.several_calls};
  for (const Tool& tool : form.tools) key.push_back({tool.name, tool.parameters});
  return key.dump();
}

std::shared_ptr<const ByteGrammar> GrammarOf(const AnswerForms::Form& form) {
  auto grammar = std::make_shared<ByteGrammar>();
  JsonGrammar json(grammar.get());
  const ByteGrammar::Rule said = grammar->AddRule();
  const auto start = grammar->Start(said), end = grammar->AddNode(said);
  grammar->SetEnd(end);
  if (!form.schema.is_null())
    grammar->AddCall(start, AddJsonSchema(&json, form.schema, "the schema"), end);
  if (!form.tools.empty())
    grammar->AddCall(start, AddToolCalls(&json, form.format, form.tools, form.several_calls), end);
  try {
    grammar->Finish(AddAnswer(grammar.get(), form.thought, said));
  } catch (const Error& error) {
    Fail("the schema cannot be used: {}", error.what());
  }
  return grammar;
}

}  // namespace

std::shared_ptr<const TokenTree> AnswerForms::Tree() {
  if (tree_) return tree_;
  std::vector<std::string_view> texts;
  for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
    const bool shown = std::find(shown_.begin(), shown_.end(), id) != shown_.end();
    const bool hidden = !shown && IsHiddenFromPeople(tokenizer_, id);
    texts.push_back(hidden ? std::string_view() : tokenizer_.TokenBytes(id));
  }
  for (const int32_t id : never_) {
    if (id >= 0 && static_cast<size_t>(id) < texts.size()) texts[static_cast<size_t>(id)] = {};
  }
  tree_ = std::make_shared<const TokenTree>(texts);
  return tree_;
}

std::shared_ptr<TokenGrammar> AnswerForms::Make(const Form& form) {
  const std::string key = KeyOf(form);
  const std::lock_guard lock(mutex_);
  const auto kept =
      std::find_if(made_.begin(), made_.end(), [&](const auto& one) { return one.first == key; });
  if (kept != made_.end()) {
    made_.splice(made_.begin(), made_, kept);
  } else {
    made_.emplace_front(key, std::make_shared<TokenGrammar>(Tree(), GrammarOf(form)));
    if (made_.size() > kMostKept) made_.pop_back();
  }
  return made_.front().second;
}

}  // namespace darkhorse
