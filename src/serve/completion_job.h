// One request for completions on its way: hears of its tokens and replies, in a stream or at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/answer_text.h"
#include "serve/api_response.h"
#include "serve/http.h"
#include "serve/scheduler.h"

namespace darkhorse {

class CompletionJob : public Job {
 public:
  struct Part {  // one prompt
    int64_t prompt_tokens = 0;
    int64_t samples = 1;
    std::string echo;  // what its texts begin with
    // Its tokens, where the request asked how probable they are; they come before the texts' own.
    std::vector<int32_t> told_prompt;
    AnswerText::Options text;
  };
  struct Options {
    bool stream = false;
    bool include_usage = false;
    bool with_chances = false;
    bool one_call = false;    // of a tool; further ones of an answer are left out
    bool end_chance = false;  // tell of the token that ends an answer, too, though it is no text
  };

  // on_end: called once when all has been said.
  CompletionJob(std::shared_ptr<HttpReply> reply, ApiResponse response, const Tokenizer& tokenizer,
                std::vector<Part> parts, Options options, std::function<void()> on_end);

  void OnAccepted() override;
  bool OnToken(size_t part, const Completion& so_far) override;
  void OnFinished(size_t part, Completion completion) override;
  void OnFailed(const ApiError& why) override;

 private:
  struct Choice {
    AnswerText text;
    ChoicePart said;  // in a stream what waits to be sent, else everything
    bool stopped_by_text = false;
    int64_t calls = 0;       // of tools
    bool begun = false;      // something has been heard of it
    int64_t characters = 0;  // of the text behind the tokens of said.chances, and those before
  };
  Choice& ChoiceOf(size_t part, const Completion& completion);
  // Puts what the part's first sample told of the prompt before the choice's tokens.
  void TellPrompt(size_t part, const Completion& completion, Choice& choice);
  void AddChance(Choice& choice, TokenChance chance, bool shown);
  void Say(Choice& choice, AnswerText::Piece piece);
  void End();

  std::shared_ptr<HttpReply> reply_;
  ApiResponse response_;
  const Tokenizer tokenizer_;
  std::vector<Part> parts_;
  std::vector<PromptTold> told_;  // of each part, once its first sample has told it
  Options options_;
  std::function<void()> on_end_;
  std::vector<size_t> first_;    // choice of each part
  std::vector<Choice> choices_;  // by part, then sample
  size_t unfinished_;
  Usage usage_;
};

}  // namespace darkhorse
