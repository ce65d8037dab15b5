// What is said between a user and a model, as the tokens that the model goes on from.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "text/chat_prompt.h"

namespace darkhorse {

// A copy remembers what was said so far and goes on by itself.
class Conversation {
 public:
  struct Options {
    std::string system;          // what the model is told before all; empty: its template's own
    std::optional<bool> thinks;  // what a template that asks is told; none: its own default
    bool dated = true;           // whether a template that asks is told today's date
    std::string prefill;         // what every answer begins with; may hold control tokens
  };

  // By the model's chat template. A model without one was trained on questions as its tasks word
  // them: then each question stands alone. `bos`: what its texts begin with (EncodeChat); `model`:
  // what errors name. Error: a template that cannot be read.
  Conversation(const Tokenizer& tokenizer, const ChatFormat& format, int32_t bos,
               const std::string& model, const Options& options);

  bool remembers() const { return prompter_.has_template(); }

  // The tokens up to where the answer to this question goes on, at most `room` of them if that can
  // be had by forgetting the oldest turns, which forgotten() then counts. Error: the template
  // refuses it, or opens a thought that the prefilled text opens too; then nothing was asked.
  std::vector<int32_t> Ask(const std::string& question, int64_t room = INT64_MAX);
  int64_t forgotten() const { return forgotten_; }
  // Whether the answer, prefilled text and all, begins within a thought that the template opened.
  bool begins_in_thought() const { return begins_in_thought_; }
  const std::string& prefill() const { return prefill_; }
  // What stands before the completion and belongs to what is said: an opened thought's tag, and the
  // prefilled text.
  std::string Opening() const;
  // The answer to what was asked last, as the template is to see it next time.
  void Answer(const std::string& thought, const std::string& content);
  // Takes back what was asked last, for it got no answer; or begins anew.
  void Withdraw();
  void Clear();

 private:
  ChatPrompter prompter_;
  ChatPrompter::Options told_;
  std::string prefill_;
  nlohmann::ordered_json opening_ = nlohmann::ordered_json::array();  // a system message, or none
  nlohmann::ordered_json messages_;
  bool begins_in_thought_ = false;
  int64_t forgotten_ = 0;  // turns, since Clear
};

}  // namespace darkhorse
