#include "app/run_recipe.h"

#include <fmt/format.h>

#include <tuple>

#include "base/error.h"

namespace darkhorse {

CorpusMix GeneratedCorpus::Mix() const {
  CorpusMix mix;
  mix.tasks = ParseTaskShares(fmt::format("{}", fmt::join(tasks, ",")));
  mix.worked_share = worked_share;
  mix.facts_share = facts_share;
  mix.style.give_up = give_up;
  mix.style.max_attempts = static_cast<int>(max_attempts);
  mix.style.check = check;
  mix.style.ordered = ordered;
  CheckMix(mix);
  return mix;
}

void ListFields(GeneratedCorpus& c, FieldList& list) {
  list.Add("tasks", c.tasks, "problems in the corpus: \"name:level\" or \"name:level=weight\"");
  list.Add("documents", c.documents, "how many documents");
  list.Add("worked_share", c.worked_share,
           "share of documents that work a problem; 0: none thinks");
  list.Add("facts_share", c.facts_share, "share of documents that are sheets of arithmetic");
  list.Add("give_up", c.give_up,
           "probabilities of giving up after a failure; each trace has one of them");
  list.Add("max_attempts", c.max_attempts, "a trace gives up after so many");
  list.Add("check", c.check, "share of traces that check a found result");
  list.Add("ordered", c.ordered,
           "share of countdown traces that go through the attempts in a fixed order");
  list.Add("seed", c.seed, "of the corpus");
}

void ListFields(RunRecipe& r, FieldList& list) {
  list.Section("corpus", r.corpus, "the generated pretraining corpus");
  list.Add("vocab_size", r.vocab_size, "of the tokenizer trained on it");
  list.Add("digits_per_token", r.digits_per_token,
           "numbers are cut into tokens of up to so many digits (DeepSeek: 3)");
  list.Section("pretrain", r.pretrain, "the base model");
  list.Section("reinforce", r.reinforce, "reinforcement learning");
  list.Add("evaluate_problems", r.evaluate_problems,
           "held-out problems of each task, before and after");
  list.Add("evaluate_samples", r.evaluate_samples, "samples of each");
}

void Validate(const RunRecipe& r) {
  constexpr int64_t kMost = 1 << 20;
  for (const auto& [name, value, high] :
       {std::tuple{"corpus.documents", r.corpus.documents, INT64_MAX},
        {"corpus.max_attempts", r.corpus.max_attempts, kMost},
        {"vocab_size", r.vocab_size, kMost},
        {"digits_per_token", r.digits_per_token, int64_t{1000}},
        {"evaluate_problems", r.evaluate_problems, kMost},
        {"evaluate_samples", r.evaluate_samples, kMost}}) {
    if (value < 1 || value > high)
      FailUsage("{} is {}; it must be from 1 to {}", name, value, high);
  }
  r.corpus.Mix();
  Validate(r.pretrain);
  Validate(r.reinforce);
  if (!(r.corpus.ordered >= 0 && r.corpus.ordered <= 1)) {
    FailUsage("corpus.ordered is {}; it must be in [0, 1]", r.corpus.ordered);
  }
}

}  // namespace darkhorse
