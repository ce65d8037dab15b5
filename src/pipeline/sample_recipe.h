// A recipe of sampling: what a teacher is asked, and which of its answers are kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"
#include "infer/sampler.h"
#include "rl/options.h"

namespace darkhorse {

struct SampleOptions {
  std::string writer = "model";    // or "traces": task/task.h's worked traces that do not give up
  std::vector<std::string> tasks;  // where problems.file names none
  int64_t problems = 0;            // 0: all of a file to train on, or kTaskProblems of the tasks
  int64_t samples = 8;             // of each
  int64_t max_tokens = kCompletionTokens;
  double temperature = 1;
  double top_p = 1;
  int64_t slots = kSlots;
  int64_t problems_at_once = 32;  // between two writes
  std::string weights = "auto";   // pipeline/run_format.h
  // Of a teacher behind a URL (pipeline/remote_teacher.h's TeacherPlace).
  std::string served_model, key_file;
  uint64_t seed = 1;
  // What is kept of the right answers.
  int64_t keep = 2;  // of a problem, at most
  bool strict = true;
  int64_t min_length = 1;      // tokens, the end mark included
  int64_t max_length = 0;      // 0: as many as were sampled
  double script_share = 0.95;  // of problems.script, where one is named

  SamplingParams sampling() const;
};
void ListFields(SampleOptions& options, FieldList& list);

// Of the built-in tasks, where a recipe names no number.
inline constexpr int64_t kTaskProblems = 256;

struct SampleRecipe {
  SampleOptions sample;
  ProblemsOptions problems;
  PromptOptions prompt;
};
void ListFields(SampleRecipe& recipe, FieldList& list);
void Validate(const SampleRecipe& recipe);  // UsageError

}  // namespace darkhorse
