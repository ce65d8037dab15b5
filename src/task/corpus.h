// The generated pretraining corpus: documents in which training problems are worked in many ways,
// right and wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "task/task.h"

namespace darkhorse {

struct TaskShare {
  std::string task;
  int level = 1;
  double weight = 1;
};

struct CorpusMix {
  std::vector<TaskShare> tasks = {{"countdown", 1, 1.0}};
  // Each document is a worked trace, a sheet of arithmetic facts, or (the rest) a problem with a
  // bare guess for an answer. worked_share = 0 is the ablation: then nothing in the corpus thinks.
  double worked_share = 0.75;
  double facts_share = 0.15;
  int facts_per_sheet = 16;
  TraceStyle style;
};

// Document `index` of the corpus: a pure function of its arguments. A problem's prompt, then
// <think>…</think> <answer>…</answer>; or a sheet of facts, one per line. No end-of-document mark.
// Held-out problems never occur. Throws UsageError for an unknown task or level, or shares that are
// negative or add up to more than 1.
std::string CorpusDocument(const CorpusMix& mix, uint64_t seed, uint64_t index);

// Throws what CorpusDocument would.
void CheckMix(const CorpusMix& mix);

// "countdown:1=0.7,sum:2=0.3"; level and weight may be left out (1 and 1). Throws UsageError, for a
// task that is named twice with one level, too.
std::vector<TaskShare> ParseTaskShares(std::string_view text);

}  // namespace darkhorse
