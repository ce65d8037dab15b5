#include "app/speculate_flag.h"

#include <fmt/format.h>

#include "app/weights_flag.h"
#include "base/error.h"
#include "base/format.h"
#include "checkpoint/model_source.h"
#include "infer/look_up.h"
#include "infer/model_proposer.h"

namespace darkhorse {
namespace {

// The same ids must stand for the same texts.
void CheckSameTokens(const OpenedModel& draft, const OpenedModel& model) {
  const Tokenizer &a = draft.tokenizer(), &b = model.tokenizer();
  if (a.vocab_size() != b.vocab_size()) {
    Fail("{}: it has {} tokens and {} has {}; a draft model needs the same tokenizer", draft.path(),
         a.vocab_size(), model.path(), b.vocab_size());
  }
  for (int32_t id = 0; id < a.vocab_size(); ++id) {
    if (a.TokenBytes(id) == b.TokenBytes(id)) continue;
    Fail("{}: token {} is '{}' and in {} '{}'; a draft model needs the same tokenizer",
         draft.path(), id, Printable(a.TokenBytes(id), 40), model.path(),
         Printable(b.TokenBytes(id), 40));
  }
}

}  // namespace

void SpeculateFlag::Register(Command command) {
  command.Add("--speculate", name,
              "what guesses further tokens, which a pass then computes together and keeps as far "
              "as they are what would have been said; the text is the same, sooner. lookup: what "
              "followed the same words earlier in prompt or text; mtp: the model's own module for "
              "multi-token prediction; a small model's files, with the same tokenizer; off; auto: "
              "mtp where the model has a module, else lookup");
}

Speculation::Speculation(const SpeculateFlag& flag, const OpenedModel& model) {
  const bool modules = model.config().num_nextn_predict_layers > 0 && !model.source().adapter();
  if (flag.name == "off") {
    kind_ = Kind::kOff;
  } else if (flag.name == "lookup" || (flag.name == "auto" && !modules)) {
    kind_ = Kind::kLookUp;
  } else if (flag.name == "mtp" || flag.name == "auto") {
    kind_ = Kind::kModule;
    if (!modules) {
      FailUsage(
          "--speculate mtp: {} has no module for multi-token prediction; lookup needs none, and a "
          "small model can guess, too",
          model.path());
    }
  } else if (IsModelPath(flag.name)) {
    kind_ = Kind::kDraft;
    opened_.emplace(flag.name);
    format_ = WeightsFlag{}.Of(flag.name);
    CheckSameTokens(*opened_, model);
  } else {
    FailUsage("--speculate {}: is none of auto, off, lookup and mtp, and no model's files",
              flag.name);
  }
}

CacheNeed Speculation::With(CacheNeed need) const {
  need.module = kind_ == Kind::kModule;
  if (opened_) need.beside = MemoryToRun(opened_->source(), format_, need).total();
  return need;
}

std::unique_ptr<Proposer> Speculation::Make(const LoadedModel& model, CacheForm form, int64_t slots,
                                            int64_t capacity) {
  switch (kind_) {
    case Kind::kOff:
      return nullptr;
    case Kind::kLookUp:
      return std::make_unique<LookUpProposer>();
    case Kind::kModule:
      return std::make_unique<MtpProposer>(model.model(), model.weights(), form, slots, capacity);
    case Kind::kDraft:
      draft_ = std::make_unique<LoadedModel>(*std::exchange(opened_, std::nullopt), format_);
      return std::make_unique<DraftProposer>(draft_->model(), draft_->weights(), model.model(),
                                             form, slots, capacity);
  }
  return nullptr;
}

std::string TellOfGuesses(const EngineStep& work) {
  if (work.guessed == 0) return "";
  return fmt::format("of {} {} {} right", Counted(work.guessed, "guessed token"), work.accepted,
                     work.accepted == 1 ? "was" : "were");
}

}  // namespace darkhorse
