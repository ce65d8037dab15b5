// Rollouts: problems in, scored samples out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "infer/engine.h"
#include "rl/environment.h"
#include "rl/prompter.h"
#include "task/task.h"

namespace darkhorse {

struct Sample {
  size_t problem = 0;               // index into the problems given
  std::vector<int32_t> prompt;      // token ids, what is prefilled of the answer included
  std::vector<int32_t> completion;  // token ids, the end mark included where the model wrote it
  std::vector<float> logp;          // of each completion token, as sampled
  bool truncated = false;           // ran out of room
  std::string text;  // what was said: what the prompt opens of it and the completion, without end
                     // marks
  Score score;
};

struct RolloutOptions {
  int64_t samples = 1;     // per problem
  int64_t max_tokens = 1;  // of a completion
  SamplingParams sampling;
  uint64_t seed = 0;
  uint64_t stream = 0;                   // problem p's sample i draws from stream + p * samples + i
  StepCallback on_step = {};             // hears of each forward pass; may be null
  std::function<void()> on_sample = {};  // of each sample that has ended; may be null
};

// Where a rollout's time went.
struct RolloutCost {
  double sample_seconds = 0, score_seconds = 0;
  // Of sample_seconds: passes that ran fewer than half of the sequences that ran at most, for the
  // longest answers are waited for.
  double tail_seconds = 0;
  EngineStep work;  // summed over the forward passes
};

// The tokens of a sequence that leave every completion its max_tokens: the longest prompt's and
// max_tokens, but at most the model's context. Error: a prompt that leaves no room in the context.
int64_t RolloutCapacity(const Prompter& prompter, const std::vector<Problem>& problems,
                        int64_t max_tokens, int64_t context);

// Tokens of the longest of the problems' prompts. Error naming the first that leaves no room in the
// context.
int64_t LongestPrompt(const Prompter& prompter, const std::vector<const Problem*>& problems,
                      int64_t context);

// Where the context holds less than the longest prompt and `max_tokens`, which the user knows as
// `name`: how much room is left. "": it holds them.
std::string ContextNote(const std::string& name, int64_t max_tokens, int64_t longest_prompt,
                        int64_t context);

// Ordered by problem, then sample; scored by the environment that the problems are of. A completion
// ends with any of the stop tokens (model/config.h's StopTokens).
// Interruption: `stop` is asked after every token, and by the environment.
std::vector<Sample> Rollout(Engine& engine, const Prompter& prompter,
                            const std::vector<int32_t>& stop_tokens,
                            const std::vector<Problem>& problems, Environment& environment,
                            const RolloutOptions& options, const StopRequest& stop,
                            RolloutCost* cost = nullptr);

}  // namespace darkhorse
