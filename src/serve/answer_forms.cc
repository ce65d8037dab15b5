#include "serve/answer_forms.h"

#include <algorithm>

#include "base/error.h"
#include "text/json_schema.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

constexpr size_t kMostKept = 16;
constexpr const char* kSchema = "response_format";

}  // namespace

std::shared_ptr<const TokenTree> AnswerForms::Tree() {
  if (tree_) return tree_;
  std::vector<std::string_view> texts;
  for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
    texts.push_back(IsHiddenFromPeople(tokenizer_, id) ? std::string_view()
                                                       : tokenizer_.TokenBytes(id));
  }
  for (const int32_t id : never_) {
    if (id >= 0 && static_cast<size_t>(id) < texts.size()) texts[static_cast<size_t>(id)] = {};
  }
  tree_ = std::make_shared<const TokenTree>(texts);
  return tree_;
}

std::shared_ptr<TokenGrammar> AnswerForms::Json(const nlohmann::ordered_json& schema,
                                                AnswerThought thought) {
  const std::string key = fmt::format("{} {}", static_cast<int>(thought), schema.dump());
  const std::lock_guard lock(mutex_);
  const auto kept =
      std::find_if(made_.begin(), made_.end(), [&](const auto& one) { return one.first == key; });
  if (kept != made_.end()) {
    made_.splice(made_.begin(), made_, kept);
    return made_.front().second;
  }
  auto grammar = std::make_shared<ByteGrammar>();
  JsonGrammar json(grammar.get());
  const ByteGrammar::Rule document = AddJsonSchema(&json, schema, kSchema);
  try {
    grammar->Finish(AddAnswer(grammar.get(), thought, document));
  } catch (const Error& error) {
    Fail("{}: its schema cannot be used: {}", kSchema, error.what());
  }
  made_.emplace_front(key, std::make_shared<TokenGrammar>(Tree(), std::move(grammar)));
  if (made_.size() > kMostKept) made_.pop_back();
  return made_.front().second;
}

}  // namespace darkhorse
