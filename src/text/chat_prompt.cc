#include "text/chat_prompt.h"

#include "base/error.h"
#include "text/tags.h"
#include "text/thoughts.h"

namespace darkhorse {
namespace {

std::string_view ContentOf(const nlohmann::ordered_json& message) {
  const auto& content = message.at("content");  // null beside calls of tools
  return content.is_string() ? content.get_ref<const std::string&>() : std::string_view();
}

// What an answer has begun with. The tags that the model was trained to write are its tokens.
void AppendBegun(std::string_view begun, MarkedText* text) {
  while (!begun.empty()) {
    size_t first = begun.size(), length = 0;
    for (const std::string_view tag : {kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose}) {
      if (const size_t at = begun.find(tag); at < first) {
        first = at;
        length = tag.size();
      }
    }
    text->Append(begun.substr(0, first), Origin::kInput);
    text->Append(begun.substr(first, length), Origin::kTemplate);
    begun.remove_prefix(first + length);
  }
}

// The last message is the problem; or what its answer is to go on from.
MarkedText RenderProblem(const nlohmann::ordered_json& messages, bool continued) {
  const size_t last = messages.size() - 1;
  const size_t problem = continued && last > 0 ? last - 1 : last;
  MarkedText text;
  if (!continued || last > 0) {
    text.Append(ContentOf(messages[problem]), Origin::kInput);
    text.Append("\n", Origin::kInput);
  }
  if (continued) AppendBegun(ContentOf(messages[last]), &text);
  return text;
}

}  // namespace

ChatPrompter::ChatPrompter(const Tokenizer& tokenizer, const ChatFormat& format, int32_t bos,
                           const std::string& model)
    : tokenizer_(tokenizer), format_(format), bos_(bos), model_(model) {
  if (!format.chat_template.empty())
    template_ = ChatTemplate::Parse(format.chat_template, model + ": its chat template");
}

MarkedText ChatPrompter::Render(const nlohmann::ordered_json& messages,
                                const Options& options) const {
  if (!template_) return RenderProblem(messages, options.continue_final_message);
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
  const bool thought = EndsInThought(text, {}, options.continue_final_message);
  if (thought && prefill.starts_with(kThinkOpen)) {
    Fail(
        "{}: its chat template opens a thought itself, so what is prefilled must not begin with {}",
        model_, kThinkOpen);
  }
  text.Append(prefill, Origin::kTemplate);
  return {EncodeChat(tokenizer_, text, bos_), thought};
}

}  // namespace darkhorse
