#include "pipeline/corpus_recipe.h"

#include <fmt/ranges.h>

#include <tuple>

#include "base/error.h"

namespace darkhorse {

CorpusMix GeneratedCorpus::Mix() const {
  CorpusMix mix = shares;
  mix.tasks = ParseTaskShares(fmt::format("{}", fmt::join(tasks, ",")));
  CheckMix(mix);
  return mix;
}

void ListFields(GeneratedCorpus& c, FieldList& list) {
  CorpusMix& mix = c.shares;
  list.Add("tasks", c.tasks, "problems in the corpus: \"name:level\" or \"name:level=weight\"");
  list.Add("documents", c.documents, "how many documents");
  list.Add("worked_share", mix.worked_share,
           "share of documents that work a problem; 0: none thinks");
  list.Add("facts_share", mix.facts_share, "share of documents that are sheets of arithmetic");
  list.Add("give_up", mix.style.give_up,
           "probabilities of giving up after a failure; each trace has one of them");
  list.Add("max_attempts", mix.style.max_attempts, "a trace gives up after so many");
  list.Add("check", mix.style.check, "share of countdown's traces that check a found result");
  list.Add("ordered", mix.style.ordered,
           "share of countdown traces that go through the attempts in a fixed order");
  list.Add("seed", c.seed, "of the corpus");
}

void Validate(const GeneratedCorpus& c) {
  constexpr int64_t kMostAttempts = 1 << 20;
  for (const auto& [name, value, most] :
       {std::tuple{"documents", c.documents, INT64_MAX},
        {"max_attempts", c.shares.style.max_attempts, kMostAttempts}}) {
    if (value < 1 || value > most)
      FailUsage("{} is {}; it must be from 1 to {}", name, value, most);
  }
  try {
    ParseTaskShares(fmt::format("{}", fmt::join(c.tasks, ",")));
  } catch (const UsageError& error) {
    FailUsage("tasks is not understood: {}", error.what());
  }
  c.Mix();
  const double ordered = c.shares.style.ordered;
  if (!(ordered >= 0 && ordered <= 1)) FailUsage("ordered is {}; it must be in [0, 1]", ordered);
}

}  // namespace darkhorse
