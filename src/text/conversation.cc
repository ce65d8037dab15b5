#include "text/conversation.h"

#include "base/error.h"
#include "text/tags.h"
#include "text/thoughts.h"

namespace darkhorse {

Conversation::Conversation(const Tokenizer& tokenizer, const ChatFormat& format, int32_t bos,
                           const std::string& model, const Options& options)
    : tokenizer_(tokenizer), bos_(bos), model_(model), prefill_(options.prefill) {
  if (!format.chat_template.empty())
    template_ = ChatTemplate::Parse(format.chat_template, model + ": its chat template");
  render_.bos_token = format.bos_token;
  render_.eos_token = format.eos_token;
  if (options.thinks) render_.variables = ThinkingVariables(*options.thinks);
  if (options.dated) render_.now = LocalNow();
  if (!options.system.empty())
    opening_.push_back({{"role", "system"}, {"content", options.system}});
  Clear();
}

std::vector<int32_t> Conversation::Ask(const std::string& question, int64_t room) {
  if (!template_) {
    MarkedText prompt(question + "\n", Origin::kInput);
    prompt.Append(prefill_, Origin::kTemplate);
    std::vector<int32_t> tokens = EncodeChat(tokenizer_, prompt, bos_);
    messages_.push_back({{"role", "user"}, {"content", question}});
    return tokens;
  }
  nlohmann::ordered_json messages = messages_;
  messages.push_back({{"role", "user"}, {"content", question}});
  int64_t forgotten = 0;
  while (true) {
    MarkedText prompt = template_->Render(messages, render_);
    const bool thought = EndsInThought(prompt);
    if (thought && prefill_.starts_with(kThinkOpen)) {
      Fail(
          "{}: its chat template opens a thought itself, so what is prefilled must not begin with "
          "{}",
          model_, kThinkOpen);
    }
    prompt.Append(prefill_, Origin::kTemplate);
    std::vector<int32_t> tokens = EncodeChat(tokenizer_, prompt, bos_);
    // The oldest turn: a question and its answer.
    const auto oldest = static_cast<nlohmann::ordered_json::difference_type>(opening_.size());
    const bool alone = messages.size() < opening_.size() + 3;
    if (static_cast<int64_t>(tokens.size()) <= room || alone) {
      messages_ = std::move(messages);
      begins_in_thought_ = thought;
      forgotten_ += forgotten;
      return tokens;
    }
    messages.erase(messages.begin() + oldest, messages.begin() + oldest + 2);
    ++forgotten;
  }
}

std::string Conversation::Opening() const {
  return std::string(begins_in_thought_ ? kThinkOpen : std::string_view()) + prefill_;
}

void Conversation::Answer(const std::string& thought, const std::string& content) {
  if (!template_) return Clear();
  nlohmann::ordered_json answer = {{"role", "assistant"}, {"content", content}};
  if (!thought.empty()) answer["reasoning_content"] = thought;
  messages_.push_back(std::move(answer));
}

void Conversation::Withdraw() {
  if (!messages_.empty() && messages_.back()["role"] == "user")
    messages_.erase(messages_.size() - 1);
}

void Conversation::Clear() {
  messages_ = opening_;
  forgotten_ = 0;
}

}  // namespace darkhorse
