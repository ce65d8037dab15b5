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

std::vector<int32_t> Conversation::Ask(const std::string& question, int64_t room) {
  if (!template_) {
    std::vector<int32_t> tokens = loaded_.PromptTokens(question + "\n", /*special=*/false);
    messages_.push_back({{"role", "user"}, {"content", question}});
    return tokens;
  }
  nlohmann::ordered_json messages = messages_;
  messages.push_back({{"role", "user"}, {"content", question}});
  int64_t forgotten = 0;
  while (true) {
    const MarkedText prompt = template_->Render(messages, render_);
    std::vector<int32_t> tokens =
        EncodeChat(loaded_.tokenizer(), prompt, DocumentStartToken(loaded_.config()));
    // The oldest turn: a question and its answer.
    const auto oldest = static_cast<nlohmann::ordered_json::difference_type>(opening_.size());
    const bool alone = messages.size() < opening_.size() + 3;
    if (static_cast<int64_t>(tokens.size()) <= room || alone) {
      messages_ = std::move(messages);
      begins_in_thought_ = EndsInThought(prompt);
      forgotten_ += forgotten;
      return tokens;
    }
    messages.erase(messages.begin() + oldest, messages.begin() + oldest + 2);
    ++forgotten;
  }
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
