#include "rl/learner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "checkpoint/checksums.h"
#include "model/cost.h"
#include "rl/policy_step.h"
#include "rl/sample_metrics.h"
#include "train/metrics.h"

namespace darkhorse {
namespace {

// Streams of random numbers: a step's rounds of samples lie 2^20 apart, steps 2^32; evaluations use
// another seed.
uint64_t StreamOf(int64_t step, int64_t round) {
  return static_cast<uint64_t>(step) << 32 | static_cast<uint64_t>(round) << 20;
}
constexpr uint64_t kEvaluationSeed = 0x9e3779b97f4a7c15;

const ReinforceRecipe& Checked(const ReinforceRecipe& recipe) {
  Validate(recipe);
  return recipe;
}

// Refuses what cannot fit before any of it is allocated. No micro-batch has more rows than a step.
ModelConfig Fitting(ModelConfig config, const ReinforceOptions& rl) {
  const int64_t step_rows = rl.prompts_per_step * rl.group_size * config.max_position_embeddings;
  RequireTrainingMemory(config, std::min(rl.micro_batch_tokens, step_rows));
  return config;
}

}  // namespace

Learner::Learner(const ReinforceRecipe& recipe, const std::string& model_directory,
                 Environment& environment)
    : recipe_(Checked(recipe)),
      environment_(environment),
      parts_(environment.Parts()),
      config_(Fitting(LoadVerifiedModelConfig(model_directory), recipe.rl)),
      tokenizer_(Tokenizer::FromJson(LoadTokenizerJson(model_directory),
                                     model_directory + "/tokenizer.json")),
      trainer_(config_, recipe.optimizer),
      packed_(config_, trainer_.layout(), trainer_.weights()) {
  position.success.assign(parts_.size(), 0.5);
  if (tokenizer_.vocab_size() > config_.vocab_size) {
    Fail("{}: the tokenizer has {} ids but the model only {}; they do not belong together",
         model_directory, tokenizer_.vocab_size(), config_.vocab_size);
  }
  // Problems that cannot work are better known now than after hours.
  CheckPrompts(tokenizer_, bos(), environment.AllProblems(), config_.max_position_embeddings);
  environment.TrainingProblem(recipe.rl.seed, 0);
  files_.tokenizer_json = LoadTokenizerJson(model_directory);
  LoadWeights(model_directory, config_, trainer_.layout(), trainer_.weights());
  if (recipe.grpo.kl_beta > 0)
    reference_.assign(trainer_.weights(), trainer_.weights() + trainer_.layout().buffer_size());
}

// Before others take engines of their own: two caches at once were more memory than the run needs.
void Learner::ReleaseEngine() {
  engine_.reset();
  capacity_ = 0;
}

Engine& Learner::EngineFor(const std::vector<Problem>& problems) {
  const int64_t needed = RolloutCapacity(tokenizer_, bos(), problems, recipe_.rl.max_tokens,
                                         config_.max_position_embeddings);
  if (needed > capacity_) {
    // Steps of this size spare a new cache for every prompt that is a little longer.
    constexpr int64_t kGrowth = 64;
    capacity_ =
        std::min((needed + kGrowth - 1) / kGrowth * kGrowth, config_.max_position_embeddings);
    engine_.reset();
    engine_.emplace(trainer_.model(), packed_.model(), CacheForm::kExpanded,
                    RolloutSlots(recipe_.rl), capacity_);
  }
  return *engine_;
}

std::vector<Sample> Learner::Sampled(const std::vector<Problem>& problems, int64_t round,
                                     ReinforceMetrics& metrics) {
  RolloutOptions options;
  options.samples = recipe_.rl.group_size;
  options.max_tokens = recipe_.rl.max_tokens;
  options.sampling.temperature = static_cast<float>(recipe_.rl.temperature);
  options.seed = recipe_.rl.seed;
  options.stream = StreamOf(position.completed, round);
  options.on_step = on_engine_step;
  RolloutCost cost;
  std::vector<Sample> samples =
      Rollout(EngineFor(problems), tokenizer_, bos(), static_cast<int32_t>(config_.eos_token_id),
              problems, environment_, options, &cost);
  if (recipe_.rl.random_rewards) {
    for (size_t i = 0; i < samples.size(); ++i) {
      const double lot = RandomUniform(recipe_.rl.seed, RandomStream::kReward, options.stream, i);
      samples[i].score.value = lot < 0.5 ? 0 : 1;
      samples[i].score.failed = false;
    }
  }
  metrics.sample_seconds += cost.sample_seconds;
  metrics.score_seconds += cost.score_seconds;
  metrics.flops += Flops(trainer_.model().cost(), cost.work);
  return samples;
}

Learner::Groups Learner::Collect(ReinforceMetrics& metrics) {
  // Metrics describe the first round, an unbiased sample of the problems; refills replace its
  // groups without a signal.
  Groups kept;
  const int64_t wanted = recipe_.rl.prompts_per_step;
  const size_t group = static_cast<size_t>(recipe_.rl.group_size);
  const std::vector<double> weights =
      CurriculumWeights(recipe_.curriculum, parts_, position.success);
  std::vector<PartOutcome> outcomes(parts_.size());
  for (int64_t round = 0; round <= recipe_.rl.max_refills; ++round) {
    const int64_t missing = wanted - static_cast<int64_t>(kept.problems.size());
    if (missing <= 0) break;
    std::vector<Problem> problems;
    std::vector<size_t> part_of;
    for (int64_t i = 0; i < missing; ++i) {
      const uint64_t index = static_cast<uint64_t>(position.next_problem++);
      part_of.push_back(DrawPart(weights, recipe_.rl.seed, index));
      problems.push_back(environment_.TrainingProblemOf(part_of.back(), recipe_.rl.seed, index));
    }
    std::vector<Sample> samples = Sampled(problems, round, metrics);
    for (const Sample& s : samples) position.generated += static_cast<int64_t>(s.completion.size());
    for (const Sample& s : samples) {
      if (s.score.failed) continue;
      PartOutcome& outcome = outcomes[part_of[s.problem]];
      ++outcome.samples;
      outcome.right += s.score.correct;
    }
    if (round == 0) {
      DescribeSamples(recipe_.rl, samples, metrics);
      metrics.shown = samples.front();
      metrics.shown_problem = problems.front();
    } else {
      ++metrics.refills;
    }
    int64_t flat = 0;
    for (size_t p = 0; p < problems.size(); ++p) {
      const auto own = std::span(samples).subspan(p * group, group);
      flat += !RewardsDiffer(recipe_.rl, own);
      if (!HasSignal(recipe_.rl, own)) continue;
      kept.problems.push_back(problems[p]);
      for (size_t i = 0; i < group; ++i) {
        kept.samples.push_back(std::move(samples[p * group + i]));
        kept.samples.back().problem = kept.problems.size() - 1;
      }
    }
    if (round == 0)
      metrics.frac_reward_zero_std =
          static_cast<double>(flat) / static_cast<double>(problems.size());
  }
  if (recipe_.curriculum.by_success) {
    UpdateSuccess(recipe_.curriculum, outcomes, position.success);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t i = 0; i < parts_.size(); ++i)
      metrics.curriculum.push_back({parts_[i].name, weights[i] / total, position.success[i]});
  }
  return kept;
}

void Learner::Train(const Groups& groups, ReinforceMetrics& metrics) {
  const ReinforceOptions& rl = recipe_.rl;
  const std::vector<double> advantages =
      Advantages(recipe_.grpo, RewardsOf(rl, groups.samples), rl.group_size);
  std::vector<PolicySample> samples;
  for (size_t i = 0; i < groups.samples.size(); ++i) {
    const Sample& s = groups.samples[i];
    samples.push_back({&s, advantages[i], IsMasked(rl, s), {}, {}});
  }
  // A single update on fresh samples finds the old log-probabilities in its own forward pass.
  if (rl.minibatches * rl.inner_epochs > 1) {
    ScoreSamples(trainer_.model(), trainer_.bound_weights(), rl.micro_batch_tokens,
                 trainer_.arena(), samples, &PolicySample::logp_old);
  }
  if (!reference_.empty()) {
    const ModelWeights reference = Bind(config_, trainer_.layout(), reference_.data());
    ScoreSamples(trainer_.model(), reference, rl.micro_batch_tokens, trainer_.arena(), samples,
                 &PolicySample::logp_ref);
  }
  const double passes = ForwardPasses(recipe_);
  for (const Sample& s : groups.samples) {
    const double tokens = static_cast<double>(s.prompt.size() + s.completion.size());
    metrics.flops +=
        passes * tokens * trainer_.model().cost().ForwardFlopsPerToken((tokens + 1) / 2);
  }
  const double lr_factor = LearningRateFactor(recipe_.schedule, position.completed, rl.steps);
  metrics.learning_rate = recipe_.optimizer.learning_rate * lr_factor;
  GrpoMetrics sum;
  double updates = 0;
  const size_t minibatches = std::min(static_cast<size_t>(rl.minibatches), groups.problems.size());
  for (int64_t epoch = 0; epoch < rl.inner_epochs; ++epoch) {
    for (size_t part = 0; part < minibatches; ++part) {
      // Whole groups: their advantages belong together.
      const size_t group = static_cast<size_t>(rl.group_size);
      const size_t begin = groups.problems.size() * part / minibatches * group;
      const size_t end = groups.problems.size() * (part + 1) / minibatches * group;
      GrpoScale scale;
      scale.max_tokens = rl.max_tokens;
      for (size_t i = begin; i < end; ++i) {
        if (samples[i].masked) continue;
        ++scale.samples;
        scale.tokens += static_cast<int64_t>(samples[i].sample->completion.size());
      }
      if (scale.tokens == 0) continue;  // all cut off: momentum alone must not move the policy
      const PolicyMetrics update =
          PolicyUpdate(trainer_, recipe_.grpo, scale, rl.micro_batch_tokens, lr_factor,
                       std::span<const PolicySample>(samples).subspan(begin, end - begin));
      sum.Add(update.grpo);
      metrics.entropy += update.entropy;
      metrics.grad_norm += update.grad_norm;
      updates += 1;
      metrics.max_violation = std::max(metrics.max_violation, MaxViolation(update.load));
      const std::vector<float*> biases = RouterBiases(trainer_.bound_weights());
      for (size_t layer = 0; layer < update.load.size(); ++layer) {
        const auto& load = update.load[layer];
        metrics.load.resize(update.load.size());
        metrics.load[layer].resize(load.size());
        for (size_t e = 0; e < load.size(); ++e) metrics.load[layer][e] += load[e];
        if (rl.router_bias_gamma > 0 && biases[layer])
          UpdateRouterBias(load, static_cast<float>(rl.router_bias_gamma), biases[layer]);
      }
    }
  }
  if (updates == 0) return;
  metrics.loss = sum.loss / updates;
  metrics.entropy /= updates;
  metrics.grad_norm /= updates;
  metrics.sampling_gap = sum.sampling_gap;
  const double tokens = static_cast<double>(std::max<int64_t>(1, sum.tokens));
  metrics.kl = sum.kl / tokens;
  metrics.clip_ratio_low = static_cast<double>(sum.clipped_low) / tokens;
  metrics.clip_ratio_high = static_cast<double>(sum.clipped_high) / tokens;
}

ReinforceMetrics Learner::Step() {
  ReinforceMetrics metrics;
  const Position before = position;
  const double start = SteadySeconds();
  packed_.Repack();
  metrics.sample_seconds = SteadySeconds() - start;
  const Groups groups = [&] {
    try {
      return Collect(metrics);
    } catch (...) {
      position = before;
      throw;
    }
  }();
  metrics.generated_per_second = static_cast<double>(position.generated - before.generated) /
                                 (metrics.sample_seconds + metrics.score_seconds);
  const double train_start = SteadySeconds();
  if (!groups.problems.empty()) Train(groups, metrics);
  ++position.completed;
  if (!reference_.empty() && recipe_.rl.reference_every > 0 &&
      position.completed % recipe_.rl.reference_every == 0) {
    std::copy(trainer_.weights(), trainer_.weights() + trainer_.layout().buffer_size(),
              reference_.begin());
  }
  metrics.train_seconds = SteadySeconds() - train_start;
  metrics.step = position.completed;
  metrics.num_tokens = position.generated;
  return metrics;
}

ProbeReport Learner::Probe() {
  ReleaseEngine();
  packed_.Repack();
  return darkhorse::Probe(recipe_, trainer_, packed_.model(), tokenizer_, environment_);
}

std::vector<TaskEvaluation> Learner::Evaluate() {
  ReleaseEngine();
  packed_.Repack();
  const ReinforceOptions& rl = recipe_.rl;
  return darkhorse::Evaluate(
      trainer_.model(), packed_.model(), tokenizer_, environment_,
      {rl.evaluate_problems, rl.evaluate_samples, rl.max_tokens, {}, rl.slots, kEvaluationSeed});
}

}  // namespace darkhorse
