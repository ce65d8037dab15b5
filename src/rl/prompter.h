// How a problem becomes the tokens that a model goes on from: one way for a run's rollouts, its
// probe and its evaluations, and for `darkhorse evaluate`.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "rl/options.h"
#include "task/task.h"
#include "text/chat_format.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

namespace darkhorse {

// What of a model decides how it is asked.
struct AskedModel {
  std::string name;  // for errors
  Tokenizer tokenizer;
  int32_t bos = -1;  // model/config.h's DocumentStartToken
  ChatFormat format = {};
};

// A conversation as the options say; never dated.
Conversation::Options TalkOf(const PromptOptions& options);

// Whether problems go through the model's chat template. UsageError: the options ask for one, or
// for what only one can say, and `model` has none, or they want it left out.
bool GoesThroughTemplate(const PromptOptions& options, const ChatFormat& format,
                         const std::string& model);

// What follows each question: what the options say, or `automatic` where they leave that open and
// the model is asked through a chat template.
std::string InstructionFor(const PromptOptions& options, bool chats, const std::string& automatic);

// The user's message of a problem: the instruction behind the question, no end of line.
std::string Worded(const Problem& problem, const std::string& instruction);

// A system message where the options have one, and the user's.
nlohmann::ordered_json MessagesOf(const PromptOptions& options, const std::string& question);

// Each problem a conversation of its own. Immutable; may be asked from many threads at once.
class Prompter {
 public:
  struct Prompt {
    std::vector<int32_t> tokens;
    std::string opening;  // what its end already says of the answer: Conversation::Opening
  };

  // As the options say: without a template [bos] prompt, and the completion begins where the
  // corpus' does. `instruction`: InstructionFor's `automatic`. `shots`: problems whose answers
  // stand before each question, in a chat alone. UsageError as of GoesThroughTemplate; Error: a
  // template that cannot be read.
  explicit Prompter(AskedModel model, const PromptOptions& options = {},
                    const std::string& instruction = "", const std::vector<Problem>& shots = {});

  // Error naming the problem: the template refuses it.
  Prompt Of(const Problem& problem) const;
  std::string Worded(const Problem& problem) const {
    return darkhorse::Worded(problem, instruction_);
  }
  const Tokenizer& tokenizer() const { return model_.tokenizer; }
  // Through a chat template.
  bool chats() const { return talk_.remembers(); }

 private:
  AskedModel model_;
  std::string instruction_;
  Conversation talk_;
};

}  // namespace darkhorse
