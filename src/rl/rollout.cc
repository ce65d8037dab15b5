#include "rl/rollout.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"

namespace darkhorse {

std::vector<int32_t> PromptTokens(const Tokenizer& tokenizer, int32_t bos, const Problem& problem) {
  std::vector<int32_t> tokens;
  if (bos >= 0) tokens.push_back(bos);
  tokenizer.Encode(problem.prompt, &tokens, /*allow_special=*/false);
  return tokens;
}

int64_t RolloutCapacity(const Tokenizer& tokenizer, int32_t bos,
                        const std::vector<Problem>& problems, int64_t max_tokens, int64_t context) {
  int64_t longest = 0;
  for (const Problem& problem : problems) {
    const int64_t tokens = static_cast<int64_t>(PromptTokens(tokenizer, bos, problem).size());
    if (tokens >= context) {
      Fail(
          "task {} level {}: the prompt '{}' has {} tokens, but the model's context "
          "(max_position_embeddings) holds only {}, completion included; use shorter problems or a "
          "model with a longer context",
          problem.task, problem.level,
          problem.prompt.substr(0, problem.prompt.find('\n')).substr(0, 60), tokens, context);
    }
    longest = std::max(longest, tokens);
  }
  return std::min(longest + max_tokens, context);
}

std::vector<Sample> Rollout(Engine& engine, const Tokenizer& tokenizer, int32_t bos, int32_t eos,
                            const std::vector<Problem>& problems, const RolloutOptions& options) {
  std::vector<GenerationRequest> requests(problems.size());
  for (size_t p = 0; p < problems.size(); ++p) {
    requests[p].prompt = PromptTokens(tokenizer, bos, problems[p]);
    requests[p].samples = options.samples;
    requests[p].max_tokens = options.max_tokens;
    requests[p].sampling = options.sampling;
    requests[p].seed = options.seed;
    requests[p].stream = options.stream + p * static_cast<uint64_t>(options.samples);
    requests[p].stop_tokens = {eos};
  }
  std::vector<Completion> completions = engine.Generate(requests);
  std::vector<Sample> samples(completions.size());
  ParallelFor(static_cast<int64_t>(samples.size()), [&](int64_t i) {
    Completion& completion = completions[static_cast<size_t>(i)];
    Sample& sample = samples[static_cast<size_t>(i)];
    const Problem& problem = problems[completion.request];
    sample.problem = completion.request;
    sample.prompt = requests[completion.request].prompt;
    sample.completion = std::move(completion.tokens);
    sample.logp = std::move(completion.logp);
    sample.truncated = completion.finish == FinishReason::kLength;
    std::vector<int32_t> text = sample.completion;
    if (!text.empty() && text.back() == eos) text.pop_back();
    sample.text = tokenizer.Decode(text);
    sample.score = FindTask(problem.task).ScoreCompletion(sample.text, problem);
  });
  return samples;
}

}  // namespace darkhorse
