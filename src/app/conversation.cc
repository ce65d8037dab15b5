#include "app/conversation.h"

#include <ctime>

#include "text/thoughts.h"

namespace darkhorse {

Conversation::Conversation(const LoadedModel& loaded, const Options& options) : loaded_(loaded) {
  const ChatFormat& format = loaded.chat_format();
  if (!format.chat_template.empty())
    template_ = ChatTemplate::Parse(format.chat_template, loaded.path() + ": its chat template");
  render_.bos_token = format.bos_token;
  render_.eos_token = format.eos_token;
  if (options.thinks) {
    // Qwen's name of it and DeepSeek's.
    render_.variables = {{"enable_thinking", *options.thinks}, {"thinking", *options.thinks}};
  }
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  if (options.dated && localtime_r(&now, &local)) render_.now = local;
  if (!options.system.empty())
    opening_.push_back({{"role", "system"}, {"content", options.system}});
  Clear();
}

std::vector<int32_t> Conversation::Ask(const std::string& question) {
  messages_.push_back({{"role", "user"}, {"content", question}});
  if (!template_) return loaded_.PromptTokens(question + "\n", /*special=*/false);
  const MarkedText prompt = template_->Render(messages_, render_);
  begins_in_thought_ = EndsInThought(prompt);
  return EncodeChat(loaded_.tokenizer(), prompt, DocumentStartToken(loaded_.config()));
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

void Conversation::Clear() { messages_ = opening_; }

}  // namespace darkhorse
