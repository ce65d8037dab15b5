// What is said between a user and a model, as the tokens that the model goes on from.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/loaded_model.h"
#include "text/chat_template.h"

namespace darkhorse {

class Conversation {
 public:
  struct Options {
    std::string system;          // what the model is told before all; empty: its template's own
    std::optional<bool> thinks;  // what a template that asks is told; none: its own default
    bool dated = true;           // whether a template that asks is told today's date
  };

  // By the model's chat template. A model without one was trained on questions as its tasks word
  // them: then each question stands alone. Error: a template that cannot be read.
  Conversation(const LoadedModel& loaded, const Options& options);

  bool remembers() const { return template_.has_value(); }

  // The tokens up to where the answer to this question begins, at most `room` of them if that can
  // be had by forgetting the oldest turns, which forgotten() then counts. Error: the template
  // refuses it; then nothing was asked.
  std::vector<int32_t> Ask(const std::string& question, int64_t room = INT64_MAX);
  int64_t forgotten() const { return forgotten_; }
  // Whether the answer begins within a thought that the template opened.
  bool begins_in_thought() const { return begins_in_thought_; }
  // The answer to what was asked last, as the template is to see it next time.
  void Answer(const std::string& thought, const std::string& content);
  // Takes back what was asked last, for it got no answer; or begins anew.
  void Withdraw();
  void Clear();

 private:
  const LoadedModel& loaded_;
  std::optional<ChatTemplate> template_;
  ChatOptions render_;
  nlohmann::ordered_json opening_ = nlohmann::ordered_json::array();  // a system message, or none
  nlohmann::ordered_json messages_;
  bool begins_in_thought_ = false;
  int64_t forgotten_ = 0;  // turns, since Clear
};

}  // namespace darkhorse
