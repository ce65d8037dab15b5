// What the generated pretraining corpus of a run holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"
#include "rl/options.h"
#include "task/corpus.h"

namespace darkhorse {

struct GeneratedCorpus {
  std::vector<std::string> tasks = ReinforceOptions().tasks;
  int64_t documents = 100000;
  CorpusMix shares;  // its tasks are those of `tasks`, read by Mix()
  uint64_t seed = 1;
  CorpusMix Mix() const;  // UsageError: unknown tasks, impossible shares
};
void ListFields(GeneratedCorpus& corpus, FieldList& list);
void Validate(const GeneratedCorpus& corpus);  // UsageError

}  // namespace darkhorse
