#include "text/conversation.h"

#include <utility>

#include "text/tags.h"

namespace darkhorse {

Conversation::Conversation(const Tokenizer& tokenizer, const ChatFormat& format, int32_t bos,
                           const std::string& model, const Options& options)
    : prompter_(tokenizer, format, bos, model), prefill_(options.prefill) {
  if (options.thinks) told_.variables = ThinkingVariables(*options.thinks);
  if (options.dated) told_.now = LocalNow();
  if (!options.system.empty())
    opening_.push_back({{"role", "system"}, {"content", options.system}});
  Clear();
}

std::vector<int32_t> Conversation::Ask(const std::string& question, int64_t room) {
  nlohmann::ordered_json messages = messages_;
  messages.push_back({{"role", "user"}, {"content", question}});
  int64_t forgotten = 0;
  while (true) {
    ChatPrompt prompt = prompter_.Prompt(messages, told_, prefill_);
    // The oldest turn: a question and its answer.
    const auto oldest = static_cast<nlohmann::ordered_json::difference_type>(opening_.size());
    const bool alone = !remembers() || messages.size() < opening_.size() + 3;
    if (static_cast<int64_t>(prompt.tokens.size()) <= room || alone) {
      messages_ = std::move(messages);
      begins_in_thought_ = prompt.begins_in_thought;
      forgotten_ += forgotten;
      return std::move(prompt.tokens);
    }
    messages.erase(messages.begin() + oldest, messages.begin() + oldest + 2);
    ++forgotten;
  }
}

std::string Conversation::Opening() const {
  return std::string(begins_in_thought_ ? kThinkOpen : std::string_view()) + prefill_;
}

void Conversation::Answer(const std::string& thought, const std::string& content) {
  if (!remembers()) return Clear();
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
