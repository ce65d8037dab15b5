// `darkhorse chat --url`: a conversation that a server answers for.
#include <nlohmann/json.hpp>

#include "app/chat.h"
#include "app/output.h"
#include "app/speech.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "serve/api_client.h"

namespace darkhorse {
namespace {

class RemoteChat : public ChatPartner {
 public:
  RemoteChat(const ChatFlags& flags, const std::string& key)
      : flags_(flags), client_(flags.url, key, {.stop = Interrupted}) {
    request_["model"] = flags.model.empty() ? client_.FirstModel() : flags.model;
    Clear();
    SayHow();
  }

  bool remembers() const override { return true; }

  void Clear() override {
    messages_ = Json::array();
    const std::string system = flags_.system.value_or("");
    if (!system.empty()) messages_.push_back({{"role", "system"}, {"content", system}});
  }

  void Answer(const std::string& question, uint64_t turn) override {
    Json request = request_;
    request["seed"] = flags_.seed + turn;
    request["messages"] = messages_;
    request["messages"].push_back({{"role", "user"}, {"content", question}});
    Speech speech({.color = flags_.Colored(), .shown = !flags_.json});
    StreamEnd end;
    try {
      end = client_.Stream("/v1/chat/completions", request, [&](const StreamPiece& piece) {
        if (!piece.thought.empty()) speech.Think(piece.thought);
        if (!piece.content.empty()) speech.Say(piece.content);
      });
    } catch (const Interruption&) {
      end.finish = "interrupted";
    } catch (const Error&) {
      speech.End();
      throw;
    }
    speech.End();
    messages_ = std::move(request["messages"]);
    // What was thought is not sent again: servers leave it out of a prompt, and some refuse it.
    messages_.push_back({{"role", "assistant"}, {"content", speech.content()}});
    if (flags_.json) {
      Json exchange = {{"question", question}};
      if (!speech.thought().empty()) exchange["thought"] = speech.thought();
      exchange["answer"] = speech.content();
      if (end.answer_tokens) exchange["tokens"] = *end.answer_tokens;
      exchange["finish"] = end.finish;
      WriteNow(ResultText(exchange, true));
    }
    if (end.finish == "length") {
      Note(
          fmt::format("the answer to '{}' is cut off; --max-tokens or the server's context gives "
                      "more",
                      Printable(question, 60)));
    }
  }

 private:
  // What every request says of how to answer. Of fields that OpenAI's own API lacks, which refuses
  // them, only those that were asked for.
  void SayHow() {
    const SamplingParams& sampling = flags_.sampling;
    const SamplingParams off;
    request_["temperature"] = sampling.temperature;
    const auto say = [&](const char* field, auto value, auto standard) {
      if (value != standard) request_[field] = value;
    };
    say("top_p", sampling.top_p, off.top_p);
    say("top_k", sampling.top_k, off.top_k);
    say("min_p", sampling.min_p, off.min_p);
    say("repetition_penalty", sampling.repetition_penalty, off.repetition_penalty);
    say("presence_penalty", sampling.presence_penalty, off.presence_penalty);
    say("frequency_penalty", sampling.frequency_penalty, off.frequency_penalty);
    if (flags_.max_tokens) request_["max_tokens"] = *flags_.max_tokens;
    if (flags_.max_reasoning_tokens)
      request_["max_reasoning_tokens"] = *flags_.max_reasoning_tokens;
    if (flags_.thinking != "auto") AskForThinking(flags_.thinking == "on", &request_);
  }

  const ChatFlags& flags_;
  ApiClient client_;
  Json request_, messages_;
};

}  // namespace

std::unique_ptr<ChatPartner> MakeRemoteChat(const ChatFlags& flags) {
  const std::string key = flags.key_file.empty() ? "" : KeyOfFile(flags.key_file);
  return std::make_unique<RemoteChat>(flags, key);
}

}  // namespace darkhorse
