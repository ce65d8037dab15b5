// A model under one of the names that it is served by: as it was loaded, or with an adapter, whose
// chat template may be its own. What requests become by it: prompts, calls of tools, forms.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "infer/thought_budget.h"
#include "infer/token_mask.h"
#include "pipeline/loaded_model.h"
#include "serve/answer_forms.h"
#include "serve/api_request.h"
#include "text/chat_prompt.h"
#include "text/tool_calls.h"

namespace darkhorse {

class ServedModel {
 public:
  // adapter: as GenerationRequest's. Error: a chat template that cannot be read.
  ServedModel(const OpenedModel& model, std::string name, int32_t adapter,
              const ChatFormat& chat_format);

  const std::string& name() const { return name_; }
  int32_t adapter() const { return adapter_; }
  const ChatPrompter& prompter() const { return prompter_; }
  // How it writes calls; none: it calls no tools.
  std::optional<ToolCallFormat> call_format() const { return call_format_; }
  const std::vector<int32_t>& call_marks() const { return call_marks_; }  // tokens

  // Makes of calls and tools what its chat template takes. ApiError 400: it shows no tools.
  void SpellForTemplate(nlohmann::ordered_json* messages, const ToolFields& tools) const;

  // What holds answers to the form that is asked for; null: they are free. ApiError 400: a form
  // that cannot be kept. Any thread may ask.
  using Constraint = std::shared_ptr<const TokenConstraint>;
  Constraint ConstraintOf(const ChatRequest& request, const ChatPrompt& prompt);
  Constraint ConstraintOf(const TextRequest& request);

  // How long the answer may think, as the request says it.
  std::optional<ThoughtBudget> BudgetOf(const ChatRequest& request, const ChatPrompt& prompt) const;

 private:
  // `begun`: what of the answer the prompt has.
  Constraint ConstraintOf(const AnswerForms::Form& form, const std::string& begun);

  const std::string name_;
  const int32_t adapter_;
  const Tokenizer tokenizer_;
  const bool knows_thoughts_;  // has a token that opens one
  const ChatPrompter prompter_;
  const std::optional<ToolCallFormat> call_format_;
  const std::vector<int32_t> call_marks_;
  AnswerForms forms_;
};

}  // namespace darkhorse
