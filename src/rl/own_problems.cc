#include "rl/own_problems.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>

#include "base/byte_source.h"
#include "base/error.h"
#include "base/format.h"
#include "base/parallel.h"
#include "base/random.h"
#include "rl/answers.h"
#include "rl/external_reward.h"
#include "task/jsonl.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 32;

ProgramLimits LimitsOf(const ProblemsOptions& o) {
  return {.processes = o.reward_processes,
          .seconds = o.reward_seconds,
          .cpu_seconds = o.reward_cpu_seconds,
          .memory_bytes = o.reward_memory_mib << 20,
          .seconds_name = "problems.reward_seconds"};
}

class OwnEnvironment : public Environment {
 public:
  explicit OwnEnvironment(const ProblemsOptions& options)
      : options_(options), file_(options.file), reading_(ReadingOf(options)) {
    const std::string text = ReadDecompressed(options.file, kMaxFileBytes);
    fingerprint_ = fmt::format("{:016x}", StableHash(text));
    std::vector<Problem> problems = ParseProblems(
        text, options.file, options.rule.empty() ? AnswerColumn::kOptional : AnswerColumn::kNeeded);
    const size_t rows = problems.size();
    if (options.rule.empty()) {
      program_.emplace(options.reward, LimitsOf(options), reading_.place);
    } else {
      rule_ = ParseRule(options.rule);
      CheckReferences(problems, rule_);
    }
    split_ = SplitByPrompt(std::move(problems), options.held_out_share);
    if (options.held_out_share > 0 && split_.held_out.empty()) {
      Fail(
          "{}: none of its problems ({}) falls into the held-out share of {}; add problems or "
          "raise "
          "problems.held_out_share",
          file_, rows, options.held_out_share);
    }
  }

  std::vector<MixturePart> Parts() const override {
    return {{std::filesystem::path(file_).filename().string(), 1}};
  }

  Problem TrainingProblemOf(size_t, uint64_t seed, uint64_t index) override {
    if (split_.train.empty()) {
      Fail(
          "{}: all its problems ({}) are held out, so there is none to train on; add problems or "
          "lower problems.held_out_share",
          file_, split_.held_out.size());
    }
    const size_t count = split_.train.size();
    Shuffle(seed, index / count);
    return split_.train[order_[index % count]];
  }

  std::vector<std::vector<Problem>> HeldOut(int64_t count) const override {
    const size_t kept = std::min(split_.held_out.size(), static_cast<size_t>(count));
    if (kept == 0) return {};
    return {{split_.held_out.begin(), split_.held_out.begin() + static_cast<int64_t>(kept)}};
  }

  std::vector<Score> ScoreAll(std::span<const Answer> answers, const StopRequest& stop) override {
    std::vector<Score> scores = program_ ? ScoreByProgram(answers, stop) : ScoreByRule(answers);
    AddScript(options_, answers, &scores);
    return scores;
  }

  std::vector<const Problem*> AllProblems() const override {
    std::vector<const Problem*> all;
    for (const Problem& problem : split_.train) all.push_back(&problem);
    for (const Problem& problem : split_.held_out) all.push_back(&problem);
    return all;
  }
  std::string Fingerprint() const override { return fingerprint_; }
  bool CanFail() const override { return program_.has_value(); }
  ScoringFaults TakeFaults() override {
    if (!program_) return {};
    const int64_t before = std::exchange(faults_reported_, program_->failures());
    return {program_->failures() - before, program_->last_failure()};
  }

  // What a user should know before hours of work: see MakeOwnEnvironment.
  void Introduce(const std::function<void(const std::string&)>& note, const StopRequest& stop) {
    note(fmt::format("{}: {} to train on, {} held out", file_,
                     Counted(std::ssize(split_.train), "problem"), split_.held_out.size()));
    constexpr size_t kFew = 20;
    if (!split_.held_out.empty() && split_.held_out.size() < kFew) {
      note(fmt::format("{} {} coarsely: raise problems.held_out_share or add problems",
                       Counted(std::ssize(split_.held_out), "held-out problem"),
                       split_.held_out.size() == 1 ? "measures" : "measure"));
    }
    if (program_) TryProgram(note, stop);
  }

 private:
  std::vector<Score> ScoreByRule(std::span<const Answer> answers) const {
    std::vector<Score> scores(answers.size());
    ParallelFor(static_cast<int64_t>(answers.size()), [&](int64_t i) {
      const auto& [problem, completion] = answers[static_cast<size_t>(i)];
      scores[static_cast<size_t>(i)] =
          ReadScore(reading_, JudgeOf(rule_, problem->answer), completion);
    });
    return scores;
  }

  std::vector<Score> ScoreByProgram(std::span<const Answer> answers, const StopRequest& stop) {
    std::vector<RewardRequest> requests;
    for (const auto& [problem, completion] : answers)
      requests.push_back(
          {problem->prompt, std::string(completion), problem->answer, problem->meta});
    return program_->ScoreAll(requests, stop);
  }

  void TryProgram(const std::function<void(const std::string&)>& note, const StopRequest& stop) {
    constexpr size_t kTried = 4;
    std::vector<std::string> completions;
    std::vector<Answer> answers;
    std::vector<const Problem*> problems = AllProblems();
    problems.resize(std::min(problems.size(), kTried));
    for (const Problem* problem : problems)
      completions.push_back(AnswerAt(reading_.place, problem->answer));
    for (size_t i = 0; i < problems.size(); ++i) answers.push_back({problems[i], completions[i]});
    const std::vector<Score> scores = ScoreByProgram(answers, stop);
    const ScoringFaults faults = TakeFaults();
    if (faults.samples == static_cast<int64_t>(answers.size())) {
      Fail("the reward program fails on {} that it was tried on: {}",
           answers.size() == 1 ? "the one sample"
                               : fmt::format("every one of {} samples", answers.size()),
           faults.last);
    }
    if (!program_->isolated()) {
      note(
          "this system gives no user namespaces: the reward program is not cut off from the "
          "network, and how many processes it starts is not limited; its time, CPU time and memory "
          "are");
    }
    for (size_t i = 0; i < answers.size(); ++i) {
      if (problems[i]->answer.empty() || scores[i].correct) continue;
      const std::string where =
          fmt::format("the reference answer of {}, as {}", problems[i]->where, completions[i]);
      note(scores[i].failed
               ? fmt::format("the reward program cannot score {} ({})", where, scores[i].why)
               : fmt::format("the reward program gives {} to {}; that is unusual", scores[i].value,
                             where));
      break;
    }
  }

  // The order of an epoch, kept until another is asked for.
  void Shuffle(uint64_t seed, uint64_t epoch) {
    if (!order_.empty() && seed == seed_ && epoch == epoch_) return;
    seed_ = seed;
    epoch_ = epoch;
    order_.resize(split_.train.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    RandomSequence random(seed, RandomStream::kRollout, epoch);
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.Below(i)]);
  }

  ProblemsOptions options_;
  std::string file_;
  Reading reading_;
  std::string fingerprint_;
  SplitProblems split_;
  Rule rule_ = Rule::kExact;
  std::optional<ExternalReward> program_;
  int64_t faults_reported_ = 0;
  std::vector<size_t> order_;
  uint64_t seed_ = 0, epoch_ = 0;
};

}  // namespace

std::unique_ptr<Environment> MakeOwnEnvironment(const ProblemsOptions& options,
                                                const std::function<void(const std::string&)>& note,
                                                const StopRequest& stop) {
  Validate(options);
  auto environment = std::make_unique<OwnEnvironment>(options);
  environment->Introduce(note, stop);
  return environment;
}

std::unique_ptr<Environment> MakeEnvironment(const std::vector<std::string>& tasks,
                                             const ProblemsOptions& options,
                                             const std::function<void(const std::string&)>& note,
                                             const StopRequest& stop) {
  return options.file.empty() ? MakeTaskEnvironment(tasks, options)
                              : MakeOwnEnvironment(options, note, stop);
}

}  // namespace darkhorse
