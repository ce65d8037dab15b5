// How `darkhorse evaluate` is told to ask a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command.h"
#include "pipeline/loaded_model.h"
#include "rl/options.h"
#include "task/task.h"

namespace darkhorse {

struct AskFlags {
  std::string chat = "auto";
  std::optional<std::string> system;
  std::string thinking = "auto";
  std::string place = "auto";
  std::string words = "auto";
  std::optional<std::string> instruction;
  std::string shots;

  void Register(Command command);
  // Over what a recipe says. UsageError: what the flags ask for the model cannot do.
  PromptOptions Prompt(PromptOptions recipe, const OpenedModel& model) const;
  std::vector<Problem> Shots() const;
};

}  // namespace darkhorse
