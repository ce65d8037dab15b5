#include "serve/chat_prompt.h"

#include "text/thoughts.h"

namespace darkhorse {

ChatPrompter::ChatPrompter(const LoadedModel& loaded) : loaded_(loaded) {
  const std::string& source = loaded.chat_format().chat_template;
  if (!source.empty())
    template_ = ChatTemplate::Parse(source, loaded.path() + ": its chat template");
}

MarkedText ChatPrompter::Render(const nlohmann::ordered_json& messages,
                                const Options& options) const {
  if (!template_) {
    MarkedText text(messages.back().at("content").get<std::string>(), Origin::kInput);
    if (!options.continue_final_message) text.Append("\n", Origin::kInput);
    return text;
  }
  ChatOptions render;
  render.bos_token = loaded_.chat_format().bos_token;
  render.eos_token = loaded_.chat_format().eos_token;
  render.variables = options.variables;
  render.now = options.now;
  render.continue_final_message = options.continue_final_message;
  render.add_generation_prompt = !options.continue_final_message;
  return template_->Render(messages, render);
}

ChatPrompt ChatPrompter::Prompt(const nlohmann::ordered_json& messages,
                                const Options& options) const {
  const MarkedText text = Render(messages, options);
  if (!template_) return {loaded_.PromptTokens(text.bytes(), /*special=*/false), false};
  return {EncodeChat(loaded_.tokenizer(), text, DocumentStartToken(loaded_.config())),
          EndsInThought(text, {}, options.continue_final_message)};
}

}  // namespace darkhorse
