#include "rl/evaluate.h"

#include <algorithm>
#include <map>
#include <span>

#include "base/error.h"

namespace darkhorse {
namespace {

// What a reading of a sample found, and what it votes for; "": nothing.
struct Read {
  bool correct = false;
  std::string vote;
};

template <typename T>
Read ReadOf(const T& score) {
  return {score.correct, score.canonical.empty() ? score.parsed : score.canonical};
}

// Whether the answer most samples gave is right; the first of equally frequent ones. Samples
// without an answer do not vote.
bool MajorityIsRight(std::span<const Read> group) {
  std::map<std::string, int> votes;
  for (const Read& read : group) {
    if (!read.vote.empty()) ++votes[read.vote];
  }
  const Read* best = nullptr;
  for (const Read& read : group) {
    if (!read.vote.empty() && (!best || votes[read.vote] > votes[best->vote])) best = &read;
  }
  return best && best->correct;
}

// Groups of n, one after the other.
Accuracies AccuraciesOf(std::span<const Read> reads, int64_t n) {
  Accuracies result;
  std::vector<int64_t> right;
  std::vector<double> majority;
  for (size_t begin = 0; begin < reads.size(); begin += static_cast<size_t>(n)) {
    const auto group = reads.subspan(begin, static_cast<size_t>(n));
    right.push_back(std::ranges::count_if(group, &Read::correct));
    majority.push_back(MajorityIsRight(group));
  }
  const auto votes = [](const Read& read) { return !read.vote.empty(); };
  if (std::ranges::any_of(reads, votes)) result.majority = MeanInterval(majority);
  std::vector<int64_t> ks;
  for (int64_t k = 1; k < n; k *= 2) ks.push_back(k);
  ks.push_back(n);
  for (const int64_t k : ks) {
    std::vector<double> values;
    for (const int64_t c : right) values.push_back(PassAtK(n, c, k));
    result.pass_at_k.emplace_back(k, MeanInterval(values));
  }
  result.pass_at_1 = result.pass_at_k.front().second;
  return result;
}

}  // namespace

std::optional<bool> WellFormed(const Score& score) {
  for (const auto& [name, value] : score.parts) {
    if (name == "format") return value > 0;
  }
  return std::nullopt;
}

double PassAtK(int64_t n, int64_t c, int64_t k) {
  CHECK(n >= k && k >= 1 && c >= 0 && c <= n);
  if (k == 1) return static_cast<double>(c) / static_cast<double>(n);
  double none = 1;
  for (int64_t i = 0; i < k; ++i)
    none *= std::max(0.0, static_cast<double>(n - c - i)) / static_cast<double>(n - i);
  return 1 - none;
}

TaskEvaluation Summarize(const std::vector<Problem>& problems, const std::vector<Sample>& samples,
                         int64_t n) {
  CHECK(samples.size() == problems.size() * static_cast<size_t>(n) && !problems.empty());
  TaskEvaluation result;
  result.task = problems.front().task;
  result.level = problems.front().level;
  result.problems = static_cast<int64_t>(problems.size());
  result.samples = n;
  int64_t well_formed = 0, judged = 0, truncated = 0, length = 0;
  for (const Sample& sample : samples) {
    if (const std::optional<bool> form = WellFormed(sample.score)) {
      well_formed += *form;
      ++judged;
    }
    truncated += sample.truncated;
    length += static_cast<int64_t>(sample.completion.size());
  }
  const auto count = static_cast<double>(samples.size());
  if (judged > 0)
    result.format_rate = static_cast<double>(well_formed) / static_cast<double>(judged);
  result.truncated_rate = static_cast<double>(truncated) / count;
  result.mean_length = static_cast<double>(length) / count;
  // Samples lie problem by problem.
  std::vector<Read> strict, lenient;
  for (const Sample& sample : samples) {
    strict.push_back(ReadOf(sample.score));
    if (sample.score.lenient) lenient.push_back(ReadOf(*sample.score.lenient));
  }
  static_cast<Accuracies&>(result) = AccuraciesOf(strict, n);
  // All of a scorer's samples are read in the same ways.
  if (lenient.size() == samples.size()) result.lenient = AccuraciesOf(lenient, n);
  return result;
}

Interval MeanAccuracy(const std::vector<TaskEvaluation>& evaluations) {
  std::vector<Interval> tasks;
  for (const TaskEvaluation& e : evaluations) tasks.push_back(e.pass_at_1);
  return MeanOf(tasks);
}

std::vector<TaskEvaluation> Evaluate(const Transformer& model, const ModelWeights& weights,
                                     const Prompter& prompter, Environment& environment,
                                     const EvaluationOptions& o, const StopRequest& stop,
                                     std::vector<Sample>* kept, std::vector<Problem>* kept_problems,
                                     const EvaluationProgressCallback& on_progress) {
  Validate(o);
  const ModelConfig& config = model.config();
  SamplingParams sampling;
  sampling.temperature = o.temperature;
  std::vector<TaskEvaluation> evaluations;
  uint64_t stream = 0;
  const std::vector<std::vector<Problem>> held_out = environment.HeldOut(o.problems);
  EvaluationProgress progress;
  for (const std::vector<Problem>& problems : held_out) progress.total += std::ssize(problems);
  progress.total *= o.samples;
  const auto add = [&](int64_t samples, int64_t tokens) {
    progress.done += samples;
    progress.tokens += tokens;
    if (on_progress) on_progress(progress);
  };
  for (const std::vector<Problem>& problems : held_out) {
    const RolloutOptions rollout{.samples = o.samples,
                                 .max_tokens = o.max_tokens,
                                 .sampling = sampling,
                                 .seed = o.seed,
                                 .stream = stream,
                                 .on_step = [&](const EngineStep& step) { add(0, step.sampled); },
                                 .on_sample = [&] { add(1, 0); }};
    stream += uint64_t{1} << 32;
    Engine engine(model, weights,
                  {.slots = SlotsFor(static_cast<int64_t>(problems.size()), o.samples, o.slots),
                   .capacity = RolloutCapacity(prompter, problems, o.max_tokens,
                                               config.max_position_embeddings)});
    std::vector<Sample> sampled =
        Rollout(engine, prompter, StopTokens(config), problems, environment, rollout, stop);
    evaluations.push_back(Summarize(problems, sampled, o.samples));
    if (kept) kept->insert(kept->end(), sampled.begin(), sampled.end());
    if (kept_problems)
      kept_problems->insert(kept_problems->end(), problems.begin(), problems.end());
  }
  return evaluations;
}

}  // namespace darkhorse
