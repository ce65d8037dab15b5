#include "serve/served_model.h"

#include <utility>

#include "base/error.h"
#include "pipeline/thinking_budget.h"
#include "serve/api_error.h"
#include "text/tags.h"

namespace darkhorse {
namespace {

// The tokens among the marks of calls.
std::vector<int32_t> MarksOf(const Tokenizer& tokenizer, std::optional<ToolCallFormat> format) {
  std::vector<int32_t> marks;
  if (!format) return marks;
  for (const std::string& mark : ToolCallMarks(*format)) {
    if (const auto id = tokenizer.TokenId(mark)) marks.push_back(*id);
  }
  return marks;
}

}  // namespace

ServedModel::ServedModel(const OpenedModel& model, std::string name, int32_t adapter,
                         const ChatFormat& chat_format)
    : name_(std::move(name)),
      adapter_(adapter),
      tokenizer_(model.tokenizer()),
      knows_thoughts_(model.tokenizer().TokenId(kThinkOpen).has_value()),
      prompter_(model.tokenizer(), chat_format, DocumentStartToken(model.config()), model.path()),
      call_format_(ToolCallFormatOf(chat_format.chat_template)),
      call_marks_(MarksOf(model.tokenizer(), call_format_)),
      forms_(model.tokenizer(), StopTokens(model.config()), call_marks_) {}

void ServedModel::SpellForTemplate(nlohmann::ordered_json* messages,
                                   const ToolFields& tools) const {
  if (tools.choice != ToolFields::Choice::kNone && !call_format_) {
    throw ApiError(400,
                   "'tools': this model's chat template shows no tools, or no form of calls that "
                   "this server reads",
                   "tools", "unsupported");
  }
  const bool as_text =
      call_format_ == ToolCallFormat::kDeepSeek || call_format_ == ToolCallFormat::kDeepSeekPlain;
  if (!as_text) SpellOutArguments(messages);
}

ServedModel::Constraint ServedModel::ConstraintOf(const AnswerForms::Form& form,
                                                  const std::string& begun) {
  if (form.schema.is_null() && form.tools.empty()) return nullptr;
  try {
    auto constraint =
        std::make_shared<const TokenConstraint>(TokenConstraint{forms_.Make(form), begun});
    if (!TokenMask(*constraint).dead()) return constraint;
  } catch (const Error& error) {
    throw ApiError(400, error.what(), form.schema.is_null() ? "tools" : "response_format");
  }
  throw ApiError(400, "the message to be continued does not begin as the answer must", "messages");
}

ServedModel::Constraint ServedModel::ConstraintOf(const TextRequest& request) {
  AnswerForms::Form form;
  form.schema = request.schema;
  return ConstraintOf(form, "");
}

ServedModel::Constraint ServedModel::ConstraintOf(const ChatRequest& request,
                                                  const ChatPrompt& prompt) {
  const auto asked = request.variables.find("enable_thinking");
  const bool thinks = asked == request.variables.end() || *asked != false;
  const bool begun = request.continue_final_message && !prompt.begins_in_thought;
  AnswerForms::Form form;
  form.thought = prompt.begins_in_thought              ? AnswerThought::kOpen
                 : thinks && knows_thoughts_ && !begun ? AnswerThought::kAllowed
                                                       : AnswerThought::kNone;
  // A call that is asked for is the answer; one that may be made may be made instead of it.
  const bool required = request.tools.choice == ToolFields::Choice::kRequired;
  if (!required) form.schema = request.schema;
  if (required || (!form.schema.is_null() && request.tools.choice == ToolFields::Choice::kAuto)) {
    form.tools = request.tools.tools;
    form.format = *call_format_;
    form.several_calls = request.tools.several;
  }
  return ConstraintOf(form, begun ? request.messages.back().at("content").get<std::string>() : "");
}

std::optional<ThoughtBudget> ServedModel::BudgetOf(const ChatRequest& request,
                                                   const ChatPrompt& prompt) const {
  if (!request.max_reasoning_tokens) return std::nullopt;
  return MakeThoughtBudget(tokenizer_, *request.max_reasoning_tokens, prompt.begins_in_thought,
                           prompter_.has_template());
}

}  // namespace darkhorse
