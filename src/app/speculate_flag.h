// --speculate: what guesses the next tokens, so that a pass may compute several.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/command.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"

namespace darkhorse {

struct SpeculateFlag {
  std::string name = "auto";

  void Register(Command command);
};

// What the flag asks for, of one model.
class Speculation {
 public:
  // UsageError: a model without modules that is to guess with them, a draft that is no model.
  // Error: one whose tokens are not the model's.
  Speculation(const SpeculateFlag& flag, const OpenedModel& model);

  // `need` of the model, and of what guesses beside it.
  CacheNeed With(CacheNeed need) const;
  // For an engine of the model, which was loaded With them; null: nothing is guessed. This must
  // outlive it.
  std::unique_ptr<Proposer> Make(const LoadedModel& model, CacheForm form, int64_t slots,
                                 int64_t capacity);

 private:
  enum class Kind { kOff, kLookUp, kModule, kDraft };
  Kind kind_;
  std::optional<OpenedModel> opened_;  // the draft, until it is loaded
  RunFormat format_;                   // what it computes in
  std::unique_ptr<LoadedModel> draft_;
};

// "of 120 guessed tokens 96 were right"; "" where none was guessed.
std::string TellOfGuesses(const EngineStep& work);

}  // namespace darkhorse
