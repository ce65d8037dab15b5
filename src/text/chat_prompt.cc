#include "text/chat_prompt.h"

#include "base/error.h"
#include "text/tags.h"
#include "text/thoughts.h"

namespace darkhorse {

ChatPrompter::ChatPrompter(const Tokenizer& tokenizer, const ChatFormat& format, int32_t bos,
                           const std::string& model)
    : tokenizer_(tokenizer), format_(format), bos_(bos), model_(model) {
  if (!format.chat_template.empty())
    template_ = ChatTemplate::Parse(format.chat_template, model + ": its chat template");
}

MarkedText ChatPrompter::Render(const nlohmann::ordered_json& messages,
                                const Options& options) const {
  if (!template_) {
    const auto& content = messages.back().at("content");  // null beside calls of tools
    MarkedText text(content.is_string() ? content.get<std::string>() : "", Origin::kInput);
    if (!options.continue_final_message) text.Append("\n", Origin::kInput);
    return text;
  }
  ChatOptions render;
  render.bos_token = format_.bos_token;
  render.eos_token = format_.eos_token;
  render.variables = options.variables;
  render.tools = options.tools;
  render.now = options.now;
  render.continue_final_message = options.continue_final_message;
  render.add_generation_prompt = !options.continue_final_message;
  return template_->Render(messages, render);
}

ChatPrompt ChatPrompter::Prompt(const nlohmann::ordered_json& messages, const Options& options,
                                std::string_view prefill) const {
  MarkedText text = Render(messages, options);
  const bool thought = template_ && EndsInThought(text, {}, options.continue_final_message);
  if (thought && prefill.starts_with(kThinkOpen)) {
    Fail(
        "{}: its chat template opens a thought itself, so what is prefilled must not begin with {}",
        model_, kThinkOpen);
  }
  text.Append(prefill, Origin::kTemplate);
  return {EncodeChat(tokenizer_, text, bos_), thought};
}

}  // namespace darkhorse
