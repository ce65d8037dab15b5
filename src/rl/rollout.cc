#include "rl/rollout.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/parallel.h"

namespace darkhorse {

int64_t LongestPrompt(const Prompter& prompter, const std::vector<const Problem*>& problems,
                      int64_t context) {
  std::vector<int64_t> tokens(problems.size());
  ParallelFor(static_cast<int64_t>(problems.size()), [&](int64_t i) {
    const size_t p = static_cast<size_t>(i);
    tokens[p] = static_cast<int64_t>(prompter.Of(*problems[p]).tokens.size());
  });
  for (size_t p = 0; p < problems.size(); ++p) {
    if (tokens[p] < context) continue;
    const Problem& problem = *problems[p];
    Fail(
        "{}: the prompt '{}' has {} tokens, but the model's context (max_position_embeddings) "
        "holds only {}, completion included; use shorter problems or a model with a longer context",
        problem.where.empty() ? fmt::format("task {} level {}", problem.task, problem.level)
                              : problem.where,
        problem.prompt.substr(0, problem.prompt.find('\n')).substr(0, 60), tokens[p], context);
  }
  return tokens.empty() ? 0 : *std::max_element(tokens.begin(), tokens.end());
}

std::string ContextNote(const std::string& name, int64_t max_tokens, int64_t longest_prompt,
                        int64_t context) {
  if (max_tokens <= context - longest_prompt) return "";
  return fmt::format(
      "{} is {}, but the model's context holds {} tokens: behind the longest prompt, {} "
      "long, a completion has room for {}",
      name, max_tokens, context, Counted(longest_prompt, "token"), context - longest_prompt);
}

int64_t RolloutCapacity(const Prompter& prompter, const std::vector<Problem>& problems,
                        int64_t max_tokens, int64_t context) {
  std::vector<const Problem*> all;
  for (const Problem& problem : problems) all.push_back(&problem);
  return CapacityFor(LongestPrompt(prompter, all, context), max_tokens, context);
}

std::vector<Sample> Rollout(Engine& engine, const Prompter& prompter,
                            const std::vector<int32_t>& stop_tokens,
                            const std::vector<Problem>& problems, Environment& environment,
                            const RolloutOptions& options, const StopRequest& stop,
                            RolloutCost* cost) {
  const double start = SteadySeconds();
  const Tokenizer& tokenizer = prompter.tokenizer();
  const auto silent = tokenizer.SilentIds(engine.config().vocab_size);
  std::vector<GenerationRequest> requests(problems.size());
  std::vector<std::string> openings(problems.size());
  for (size_t p = 0; p < problems.size(); ++p) {
    Prompter::Prompt prompt = prompter.Of(problems[p]);
    requests[p].prompt = std::move(prompt.tokens);
    openings[p] = std::move(prompt.opening);
    requests[p].samples = options.samples;
    requests[p].max_tokens = options.max_tokens;
    requests[p].sampling = options.sampling;
    requests[p].seed = options.seed;
    requests[p].stop_tokens = stop_tokens;
    requests[p].never = silent;
  }
  SeparateStreams(requests, options.stream);
  const auto keep_going = [&](const Completion&) {
    LeaveIfAsked(stop);
    return true;
  };
  EngineStep work;
  double tail = 0, pass_start = start;
  int64_t most_running = 0;
  const auto count = [&](const EngineStep& step) {
    work += step;
    most_running = std::max(most_running, engine.running());
    const double now = SteadySeconds();
    if (2 * engine.running() < most_running) tail += now - pass_start;
    pass_start = now;
    if (options.on_step) options.on_step(step);
  };
  const auto ended = [&](const Completion&) {
    if (options.on_sample) options.on_sample();
  };
  std::vector<Completion> completions = engine.Generate(requests, keep_going, count, ended);
  std::vector<Sample> samples(completions.size());
  ParallelFor(static_cast<int64_t>(samples.size()), [&](int64_t i) {
    Completion& completion = completions[static_cast<size_t>(i)];
    Sample& sample = samples[static_cast<size_t>(i)];
    sample.problem = completion.request;
    sample.prompt = requests[completion.request].prompt;
    sample.completion = std::move(completion.tokens);
    sample.logp = std::move(completion.logp);
    sample.truncated = completion.finish == FinishReason::kLength;
    std::vector<int32_t> text = sample.completion;
    if (completion.finish == FinishReason::kStop) text.pop_back();
    sample.text = openings[completion.request] + tokenizer.Decode(text);
  });
  std::vector<Answer> answers;
  for (const Sample& sample : samples) answers.push_back({&problems[sample.problem], sample.text});
  const double sampled = SteadySeconds();
  std::vector<Score> scores = environment.ScoreAll(answers, stop);
  if (cost) *cost = {sampled - start, SteadySeconds() - sampled, tail, work};
  for (size_t i = 0; i < samples.size(); ++i) samples[i].score = std::move(scores[i]);
  return samples;
}

}  // namespace darkhorse
