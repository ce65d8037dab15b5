// `darkhorse evaluate --problems` through a model's chat template: each question a conversation of
// its own, the answer read where it was asked to stand, and leniently.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/output.h"
#include "pipeline/loaded_model.h"
#include "rl/environment.h"
#include "rl/options.h"
#include "task/answer_place.h"
#include "text/conversation.h"

namespace darkhorse {

struct AskFlags {
  std::string chat = "auto";
  std::string system;
  std::string thinking = "auto";
  std::string place = "boxed";
  std::optional<std::string> instruction;  // none: what asks for the place
  std::string shots;

  void Register(Command command);
  // Whether questions go through the model's chat template. UsageError: it should, but has none.
  bool Asks(const LoadedModel& loaded) const;
  Conversation::Options Talk() const;
  PromptOptions Prompt() const;
};

// Of the environment's held-out problems, as many as `options` says. `rule`: how answers are
// scored; none: the environment's program scores, and no lenient reading is told.
Json EvaluateAsked(const LoadedModel& loaded, Environment& environment, const AskFlags& flags,
                   std::optional<Rule> rule, const EvaluationOptions& options,
                   const std::string& tokens_from);

}  // namespace darkhorse
