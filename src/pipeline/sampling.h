// Sampling from a teacher: a model answers problems, a verifier keeps what is right (rejection
// sampling, as DeepSeek-R1's third stage).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "pipeline/rejection.h"
#include "pipeline/remote_teacher.h"
#include "pipeline/sample_recipe.h"
#include "rl/environment.h"

namespace darkhorse {

// What sampling leaves in its folder.
namespace sample_files {
inline constexpr char kSamples[] = "samples.jsonl";  // all answers, a problem a line
inline constexpr char kChats[] = "chats.jsonl";      // those kept, a chat a line
inline constexpr char kCard[] = "README.md";         // what they are, last of all
}  // namespace sample_files

struct SampleProgress {
  int64_t done = 0, problems = 0;  // problems, and how many there are
  // By this process, which may have gone on with the work of another:
  int64_t here = 0;  // problems
  int64_t samples = 0, right = 0, tokens = 0;
  double seconds = 0;
};

struct SampleCallbacks {
  std::function<void(const SampleProgress&)> on_progress;  // after each write
  std::function<void(int64_t tokens)> on_tokens;           // generated, after each forward pass
  std::function<void(const std::string&)> on_note;
  std::function<void(const ScoringFaults&)> on_faults;  // of the reward program, where it has some
  RemoteTeachers teachers;                              // for a URL
  StopRequest stop;  // asked after every token: true saves and returns
};

struct SampleResult {
  bool finished = false;
  int64_t done = 0, problems = 0;
  Selection selection;  // of a finished run
  std::string chats;    // likewise: the file
};

// The model at `model`, a path or a URL, answers the recipe's problems into the folder `out`. A
// folder that holds samples is refused unless `resume`; resuming goes on behind the last whole line
// and ends in the same bytes as a run never interrupted, however many problems are sampled at once.
// Another recipe, model or file of problems is refused, but that sample.problems may become more.
// Error: what loading the model throws, problems whose prompts leave no room in its context, a full
// disk; what was written stays.
SampleResult SampleAnswers(const SampleRecipe& recipe, const std::string& model,
                           const std::string& out, bool resume, const SampleCallbacks& callbacks);

}  // namespace darkhorse
