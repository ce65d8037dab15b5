// Rollouts: problems in, scored samples out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "rl/environment.h"
#include "task/task.h"
#include "text/tokenizer.h"

namespace darkhorse {

struct Sample {
  size_t problem = 0;               // index into the problems given
  std::vector<int32_t> prompt;      // token ids
  std::vector<int32_t> completion;  // token ids, the end mark included where the model wrote it
  std::vector<float> logp;          // of each completion token, as sampled
  bool truncated = false;           // ran out of room
  std::string text;                 // the completion, without special end marks
  Score score;
};

struct RolloutOptions {
  int64_t samples = 8;  // per problem
  int64_t max_tokens = 352;
  SamplingParams sampling;
  uint64_t seed = 0;
  uint64_t stream = 0;        // problem p's sample i draws from stream + p * samples + i
  StepCallback on_step = {};  // hears of each forward pass; may be null
};

// Where a rollout's time went.
struct RolloutCost {
  double sample_seconds = 0, score_seconds = 0;
  EngineStep work;  // summed over the forward passes
};

// What a prompt begins with; -1 where documents are only separated.
int32_t BosToken(const ModelConfig& config);

// How a problem's prompt becomes tokens: [bos] prompt. The completion begins where the corpus'
// does.
std::vector<int32_t> PromptTokens(const Tokenizer& tokenizer, int32_t bos, const Problem& problem);

// Tokens of a sequence that no completion is cut short by: the longest prompt and max_tokens, but
// at most the model's context. Error: a prompt that leaves no room in the context.
int64_t RolloutCapacity(const Tokenizer& tokenizer, int32_t bos,
                        const std::vector<Problem>& problems, int64_t max_tokens, int64_t context);

// Error naming the first of the problems whose prompt leaves no room in the context.
void CheckPrompts(const Tokenizer& tokenizer, int32_t bos,
                  const std::vector<const Problem*>& problems, int64_t context);

// Ordered by problem, then sample; scored by the environment that the problems are of.
// Interruption (base/interrupt.h).
std::vector<Sample> Rollout(Engine& engine, const Tokenizer& tokenizer, int32_t bos, int32_t eos,
                            const std::vector<Problem>& problems, Environment& environment,
                            const RolloutOptions& options, RolloutCost* cost = nullptr);

}  // namespace darkhorse
