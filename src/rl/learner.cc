#include "rl/learner.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/random.h"
#include "model/cost.h"
#include "rl/answers.h"
#include "rl/sample_metrics.h"
#include "train/schedule.h"

namespace darkhorse {
namespace {

// Streams of random numbers: a step's rounds of samples lie 2^20 apart, steps 2^32; evaluations use
// another seed.
uint64_t StreamOf(int64_t step, int64_t round) {
  return static_cast<uint64_t>(step) << 32 | static_cast<uint64_t>(round) << 20;
}
constexpr uint64_t kEvaluationSeed = 0x9e3779b97f4a7c15;

// One of `parts` minibatches of about as many groups each. Whole groups: their advantages belong
// together.
std::span<const PolicySample> Minibatch(std::span<const PolicySample> samples, size_t group_size,
                                        size_t part, size_t parts) {
  const size_t groups = samples.size() / group_size;
  const size_t begin = groups * part / parts * group_size;
  const size_t end = groups * (part + 1) / parts * group_size;
  return samples.subspan(begin, end - begin);
}

// The updates of a step, as they add up.
struct UpdateSums {
  GrpoMetrics grpo;
  double entropy = 0, grad_norm = 0;
  double updates = 0;

  void Add(const PolicyMetrics& update) {
    grpo.Add(update.grpo);
    entropy += update.entropy;
    grad_norm += update.grad_norm;
    updates += 1;
  }
  // Means over the updates, or over their tokens.
  void Describe(ReinforceMetrics& metrics) const {
    metrics.trained = updates > 0;
    if (!metrics.trained) return;
    metrics.loss = grpo.loss / updates;
    metrics.entropy = entropy / updates;
    metrics.grad_norm = grad_norm / updates;
    metrics.sampling_gap = grpo.sampling_gap;
    const double tokens = static_cast<double>(std::max<int64_t>(1, grpo.tokens));
    metrics.clip_ratio_low = static_cast<double>(grpo.clipped_low) / tokens;
    metrics.clip_ratio_high = static_cast<double>(grpo.clipped_high) / tokens;
  }
};

}  // namespace

ReinforceRecipe Decided(ReinforceRecipe recipe, const TrainingStart& start) {
  const bool chats = GoesThroughTemplate(recipe.prompt, start.chat_format(), start.path());
  recipe.problems = DecidedFor(recipe.problems, recipe.rl.tasks, chats);
  return recipe;
}

std::unique_ptr<Learner> Learner::From(const ReinforceRecipe& recipe, const TrainingStart& start,
                                       Environment& environment) {
  Validate(recipe);
  const ReinforceOptions& rl = recipe.rl;
  start.RefuseMovingBiases("rl.router_bias_gamma", rl.router_bias_gamma);
  const ModelConfig& config = start.config();
  // What cannot fit is refused before any of it is allocated. No micro-batch has more rows than a
  // step.
  const int64_t step_rows = rl.prompts_per_step * rl.group_size * config.max_position_embeddings;
  const std::string& teacher = recipe.teacher.model;
  const Activations activations =
      start.Fit({.micro_batch_tokens = std::min(rl.micro_batch_tokens, step_rows),
                 .moments = FormatOf(recipe.optimizer.moments),
                 .copies = recipe.grpo.kl_beta > 0,
                 .beside = teacher.empty() ? 0 : static_cast<double>(Teacher::Bytes(teacher))},
                rl.recompute);
  // Problems that cannot work are better known now than after hours.
  Prompter prompter(
      {start.path(), start.tokenizer(), DocumentStartToken(config), start.chat_format()},
      recipe.prompt, InstructionOf(recipe.problems));
  LongestPrompt(prompter, environment.AllProblems(), config.max_position_embeddings);
  environment.TrainingProblem(rl.seed, 0);
  return std::unique_ptr<Learner>(
      new Learner(recipe, environment, start, activations, std::move(prompter)));
}

Learner::Learner(const ReinforceRecipe& recipe, Environment& environment,
                 const TrainingStart& start, Activations activations, Prompter prompter)
    : recipe_(recipe),
      environment_(environment),
      parts_(environment.Parts()),
      config_(start.config()),
      prompter_(std::move(prompter)),
      files_(start.Files()),
      trained_(start.Make(recipe.optimizer, activations, recipe.rl.seed)) {
  progress_.success.assign(parts_.size(), 0.5);
  if (!trained_->trains_adapter())
    packed_.emplace(config_, trained_->layout(), trained_->mutable_weights(), trained_->format());
  if (recipe.grpo.kl_beta > 0) {
    kl_reference_.resize(static_cast<size_t>(trained_->layout().buffer_size()));
    MoveReference();
    trained_->AddState("reference", kl_reference_);
  }
  if (const std::string& teacher = recipe.teacher.model; !teacher.empty())
    teacher_.emplace(teacher, start.tokenizer(), start.path());
}

const ModelWeights& Learner::SamplingWeights() {
  if (!packed_) return trained_->bound_weights();
  packed_->Repack();
  return packed_->model();
}

// Before others take engines of their own: two caches at once were more memory than the run needs.
void Learner::ReleaseEngine() {
  engine_.reset();
  capacity_ = 0;
}

Engine& Learner::EngineFor(const std::vector<Problem>& problems) {
  const int64_t needed =
      RolloutCapacity(prompter_, problems, recipe_.rl.max_tokens, config_.max_position_embeddings);
  if (needed > capacity_) {
    // Steps of this size spare a new cache for every prompt that is a little longer.
    constexpr int64_t kGrowth = 64;
    capacity_ =
        std::min((needed + kGrowth - 1) / kGrowth * kGrowth, config_.max_position_embeddings);
    engine_.reset();
    engine_.emplace(trained_->model(), packed_ ? packed_->model() : trained_->bound_weights(),
                    EngineOptions{.slots = RolloutSlots(recipe_.rl), .capacity = capacity_});
  }
  return *engine_;
}

std::vector<Sample> Learner::Sampled(const std::vector<Problem>& problems, int64_t round,
                                     const StopRequest& stop, ReinforceMetrics& metrics) {
  RolloutOptions options;
  options.samples = recipe_.rl.group_size;
  options.max_tokens = recipe_.rl.max_tokens;
  options.sampling.temperature = static_cast<float>(recipe_.rl.temperature);
  options.seed = recipe_.rl.seed;
  options.stream = StreamOf(progress_.completed, round);
  options.on_step = on_engine_step;
  RolloutCost cost;
  std::vector<Sample> samples = Rollout(EngineFor(problems), prompter_, StopTokens(config_),
                                        problems, environment_, options, stop, &cost);
  if (recipe_.rl.random_rewards) {
    for (size_t i = 0; i < samples.size(); ++i) {
      const double lot = RandomUniform(recipe_.rl.seed, RandomStream::kReward, options.stream, i);
      samples[i].score.value = lot < 0.5 ? 0 : 1;
      samples[i].score.failed = false;
    }
  }
  metrics.sample_seconds += cost.sample_seconds;
  metrics.tail_seconds += cost.tail_seconds;
  metrics.score_seconds += cost.score_seconds;
  metrics.flops += Flops(trained_->model().cost(), cost.work);
  return samples;
}

// A teacher has something to say of every token, whatever the rewards.
bool Learner::Teaches(std::span<const Sample> group) const {
  if (!teacher_) return HasSignal(recipe_.rl, group);
  return std::ranges::any_of(group,
                             [&](const Sample& sample) { return !IsMasked(recipe_.rl, sample); });
}

std::vector<Sample> Learner::Collect(const StopRequest& stop, ReinforceMetrics& metrics) {
  // Metrics describe the first round, an unbiased sample of the problems; refills replace its
  // groups without a signal.
  std::vector<Sample> kept;
  const int64_t wanted = recipe_.rl.prompts_per_step;
  const size_t group = static_cast<size_t>(recipe_.rl.group_size);
  const std::vector<double> weights =
      CurriculumWeights(recipe_.curriculum, parts_, progress_.success);
  std::vector<PartOutcome> outcomes(parts_.size());
  for (int64_t round = 0; round <= recipe_.rl.max_refills; ++round) {
    const int64_t missing = wanted - static_cast<int64_t>(kept.size() / group);
    if (missing <= 0) break;
    std::vector<Problem> problems;
    std::vector<size_t> part_of;
    for (int64_t i = 0; i < missing; ++i) {
      const uint64_t index = static_cast<uint64_t>(progress_.next_problem++);
      part_of.push_back(DrawPart(weights, recipe_.rl.seed, index));
      problems.push_back(environment_.TrainingProblemOf(part_of.back(), recipe_.rl.seed, index));
    }
    std::vector<Sample> samples = Sampled(problems, round, stop, metrics);
    for (const Sample& s : samples)
      progress_.generated += static_cast<int64_t>(s.completion.size());
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
      if (prompter_.chats())
        metrics.shown_asked = prompter_.tokenizer().Decode(metrics.shown.prompt);
    } else {
      ++metrics.refills;
    }
    int64_t flat = 0;
    for (size_t p = 0; p < problems.size(); ++p) {
      const auto own = std::span(samples).subspan(p * group, group);
      flat += !RewardsDiffer(recipe_.rl, own);
      if (!Teaches(own)) continue;
      std::ranges::move(own, std::back_inserter(kept));
    }
    if (round == 0)
      metrics.frac_reward_zero_std =
          static_cast<double>(flat) / static_cast<double>(problems.size());
  }
  if (recipe_.curriculum.by_success) {
    UpdateSuccess(recipe_.curriculum, outcomes, progress_.success);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t i = 0; i < parts_.size(); ++i)
      metrics.curriculum.push_back({parts_[i].name, weights[i] / total, progress_.success[i]});
  }
  return kept;
}

std::vector<PolicySample> Learner::WithAdvantages(const std::vector<Sample>& samples) const {
  const ReinforceOptions& rl = recipe_.rl;
  const std::vector<double> advantages =
      Advantages(recipe_.grpo, RewardsOf(rl, samples), rl.group_size);
  const double weight = teacher_ ? recipe_.teacher.reward_weight : 1;
  std::vector<PolicySample> with;
  for (size_t i = 0; i < samples.size(); ++i)
    with.push_back({&samples[i], weight * advantages[i], IsMasked(rl, samples[i]), {}, {}});
  return with;
}

// Under the policy before this step's updates and under the reference, where they are needed.
void Learner::AddLogps(std::vector<PolicySample>& samples) {
  const auto logps = [&](const ModelWeights& weights) {
    return CompletionLogps(trained_->model(), weights, Packing(recipe_.rl), trained_->arena(),
                           samples);
  };
  // A single update on fresh samples finds the old log-probabilities in its own forward pass.
  if (recipe_.rl.minibatches * recipe_.rl.inner_epochs > 1) {
    std::vector<std::vector<float>> old = logps(trained_->bound_weights());
    for (size_t i = 0; i < samples.size(); ++i) samples[i].logp_old = std::move(old[i]);
  }
  if (!kl_reference_.empty()) {
    std::vector<std::vector<float>> reference = logps(trained_->WithValues(kl_reference_.data()));
    for (size_t i = 0; i < samples.size(); ++i) samples[i].logp_ref = std::move(reference[i]);
  }
  if (teacher_) {
    std::vector<std::vector<float>> said = teacher_->Logps(samples, Packing(recipe_.rl));
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i].logp_teacher = std::move(said[i]);
      samples[i].teacher_weight = recipe_.teacher.weight;
    }
  }
}

void Learner::Train(const std::vector<Sample>& collected, ReinforceMetrics& metrics) {
  const ReinforceOptions& rl = recipe_.rl;
  std::vector<PolicySample> samples = WithAdvantages(collected);
  AddLogps(samples);
  const std::vector<PolicyBatch> batches = PackSamples(samples, Packing(rl));
  metrics.flops += ForwardPasses(recipe_) * ForwardFlops(cost(), batches);
  if (teacher_) metrics.flops += ForwardFlops(teacher_->cost(), batches);
  const double lr_factor = LearningRateFactor(recipe_.schedule, progress_.completed, rl.steps);
  metrics.learning_rate = recipe_.optimizer.learning_rate * lr_factor;
  UpdateSums sums;
  const size_t groups = collected.size() / static_cast<size_t>(rl.group_size);
  const size_t minibatches = std::min(static_cast<size_t>(rl.minibatches), groups);
  for (int64_t epoch = 0; epoch < rl.inner_epochs; ++epoch) {
    for (size_t part = 0; part < minibatches; ++part) {
      const std::span<const PolicySample> own =
          Minibatch(samples, static_cast<size_t>(rl.group_size), part, minibatches);
      const GrpoScale scale = ScaleOf(own, rl.max_tokens);
      CHECK(scale.tokens > 0);  // every group has a sample that is trained on (Teaches)
      const PolicyMetrics update =
          PolicyUpdate(*trained_, recipe_.grpo, scale, Packing(rl), lr_factor, own);
      sums.Add(update);
      AddLoad(update.load, metrics.load);
      metrics.max_violation = std::max(metrics.max_violation, MaxViolation(update.load));
      if (rl.router_bias_gamma > 0)
        UpdateRouterBiases(update.load, rl.router_bias_gamma, trained_->bound_weights());
    }
  }
  sums.Describe(metrics);
  if (teacher_)
    metrics.teacher_kl =
        sums.grpo.teacher_kl / static_cast<double>(std::max<int64_t>(1, sums.grpo.tokens));
  if (!kl_reference_.empty())
    metrics.kl = sums.grpo.kl / static_cast<double>(std::max<int64_t>(1, sums.grpo.tokens));
}

// The reference becomes the policy as it is.
void Learner::MoveReference() {
  std::copy(trained_->weights(), trained_->weights() + trained_->layout().buffer_size(),
            kl_reference_.begin());
}

std::string Learner::ContextNote() const {
  const int64_t context = config_.max_position_embeddings;
  std::vector<const Problem*> problems = environment_.AllProblems();
  std::vector<Problem> drawn;  // where there is no list of all, some of each part
  if (problems.empty()) {
    constexpr uint64_t kDrawn = 16;
    for (size_t part = 0; part < parts_.size(); ++part) {
      for (uint64_t i = 0; i < kDrawn; ++i)
        drawn.push_back(environment_.TrainingProblemOf(part, recipe_.rl.seed, i));
    }
    for (const Problem& problem : drawn) problems.push_back(&problem);
  }
  return darkhorse::ContextNote("rl.max_tokens", recipe_.rl.max_tokens,
                                LongestPrompt(prompter_, problems, context), context);
}

ReinforceMetrics Learner::Step(const StopRequest& stop) {
  ReinforceMetrics metrics;
  const RunProgress before = progress_;
  const double start = SteadySeconds();
  SamplingWeights();  // packed for the engine
  metrics.sample_seconds = SteadySeconds() - start;
  const std::vector<Sample> collected = [&] {
    try {
      return Collect(stop, metrics);
    } catch (...) {
      progress_ = before;
      throw;
    }
  }();
  metrics.generated_per_second = static_cast<double>(progress_.generated - before.generated) /
                                 (metrics.sample_seconds + metrics.score_seconds);
  const double train_start = SteadySeconds();
  if (!collected.empty()) Train(collected, metrics);
  ++progress_.completed;
  progress_.updates = trained_->optimizer().step();
  if (!kl_reference_.empty() && recipe_.rl.reference_every > 0 &&
      progress_.completed % recipe_.rl.reference_every == 0) {
    MoveReference();
  }
  metrics.train_seconds = SteadySeconds() - train_start;
  metrics.step = progress_.completed;
  metrics.num_tokens = progress_.generated;
  return metrics;
}

ProbeReport Learner::Probe(const StopRequest& stop) {
  ReleaseEngine();
  return darkhorse::Probe(recipe_, *trained_, SamplingWeights(), teacher_ ? &*teacher_ : nullptr,
                          prompter_, environment_, stop);
}

std::vector<TaskEvaluation> Learner::Evaluate(const StopRequest& stop) {
  ReleaseEngine();
  const ReinforceOptions& rl = recipe_.rl;
  EvaluationOptions options;
  options.problems = rl.evaluate_problems;
  options.samples = rl.evaluate_samples;
  options.max_tokens = rl.max_tokens;
  options.slots = rl.slots;
  options.seed = kEvaluationSeed;
  return darkhorse::Evaluate(trained_->model(), SamplingWeights(), prompter_, environment_, options,
                             stop);
}

void Learner::PublishModel(const std::string& directory) {
  PublishCheckpoint(directory, config_, trained_->layout(), trained_->weights(), files_, nullptr);
}

std::string Learner::Save(const std::string& run, const std::string& json) {
  return trained_->Save(run, recipe_.rl.keep_checkpoints, files_, json, progress_.completed);
}

void Learner::Resume(const std::string& directory, const RunProgress& progress) {
  if (progress.success.size() != parts_.size()) {
    Fail(
        "{}: its trainer state is of a mixture of {}, the recipe's has {}; choose another "
        "run directory",
        directory, Counted(std::ssize(progress.success), "task"), parts_.size());
  }
  trained_->Load(directory);
  progress_ = progress;
  trained_->optimizer().set_step(progress.updates);
}

}  // namespace darkhorse
