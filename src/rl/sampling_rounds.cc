#include "rl/sampling_rounds.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>

#include "base/clock.h"
#include "base/error.h"

namespace darkhorse {
namespace {

std::vector<Problem> ProblemsOf(const SamplingRound& round) {
  std::vector<Problem> problems;
  for (const DrawnProblem& one : round.drawn) problems.push_back(one.problem);
  return problems;
}

class RoundsAtOnce {
 public:
  RoundsAtOnce(const RoundsWork& work, RolloutCost* cost)
      : work_(work), cost_(*cost), size_(static_cast<size_t>(work.options.samples)) {}

  std::vector<SamplingRound> Run() {
    rounds_.emplace_back();
    for (int64_t i = 0; i < work_.groups; ++i) Open(0);
    try {
      while (SubmitWaiting() || !pending_.empty()) {
        while (Step()) {
          if (WorthJudging()) Judge();
        }
        Judge();
      }
    } catch (...) {
      for (const auto& [id, group] : running_) engine_->Cancel(id);
      throw;
    }
    std::vector<SamplingRound> rounds;
    for (Round& round : rounds_) rounds.push_back(std::move(round.told));
    return rounds;
  }

 private:
  struct Group {
    size_t round = 0, place = 0;  // place: in its round
    size_t judged = 0;            // samples that have a score
    bool teaches = false;
    // Of those judged, without their tokens.
    std::vector<Sample> scores;
    AskedProblem asked;
  };
  struct Round {
    SamplingRound told;
    std::vector<std::unique_ptr<Group>> groups;
    int64_t first = 0;   // number of its first problem among the step's
    bool whole = false;  // has all the groups it will ever have
  };

  // The next problem of a round.
  void Open(size_t r) {
    Round& round = rounds_[r];
    const size_t place = round.groups.size();
    auto group = std::make_unique<Group>();
    group->round = r;
    group->place = place;
    round.told.drawn.push_back(work_.draw(round.first + static_cast<int64_t>(place)));
    round.told.samples.resize((place + 1) * size_);
    waiting_.push_back(group.get());
    round.groups.push_back(std::move(group));
    if (r == 0) round.whole = static_cast<int64_t>(place) + 1 == work_.groups;
  }

  const Problem& ProblemOf(const Group& group) const {
    return rounds_[group.round].told.drawn[group.place].problem;
  }

  // Hands what waits to the engine, which grows where it is idle. False: nothing is there to run.
  bool SubmitWaiting() {
    if (waiting_.empty()) return engine_ && !engine_->idle();
    if (!engine_ || engine_->idle()) {
      running_.clear();  // another engine begins its ids anew
      std::vector<Problem> problems;
      for (const Group* group : waiting_) problems.push_back(ProblemOf(*group));
      engine_ = &work_.engine(problems);
      if (!silent_) silent_ = work_.prompter.tokenizer().SilentIds(engine_->config().vocab_size);
    }
    std::erase_if(waiting_, [&](Group* group) {
      if (!work_.fits(ProblemOf(*group))) return false;
      RolloutOptions options = work_.options;
      options.stream = work_.stream(static_cast<int64_t>(group->round)) + group->place * size_;
      group->asked =
          AskedOf(work_.prompter, ProblemOf(*group), options, work_.stop_tokens, silent_);
      running_[engine_->Submit(group->asked.request)] = group;
      return true;
    });
    return true;
  }

  bool Step() {
    const double begin = SteadySeconds();
    const bool more = engine_->Step(
        {.on_token =
             [&](const Completion&) {
               LeaveIfAsked(work_.stop);
               return true;
             },
         .on_finished = [&](Completion completion) { pending_.push_back(std::move(completion)); },
         .on_step =
             [&](const EngineStep& step) {
               cost_.work += step;
               most_running_ = std::max(most_running_, engine_->running());
               few_run_ = 2 * engine_->running() < most_running_;
               if (work_.options.on_step) work_.options.on_step(step);
             }});
    const double seconds = SteadySeconds() - begin;
    cost_.sample_seconds += seconds;
    if (few_run_) cost_.tail_seconds += seconds;
    return more;
  }

  // While nearly all slots are taken nothing new could begin, and scoring has its price.
  bool WorthJudging() const {
    const int64_t running = engine_->running();
    return 4 * (most_running_ - running) >= most_running_ &&
           8 * static_cast<int64_t>(pending_.size()) >= running;
  }

  void Judge() {
    if (pending_.empty()) return;
    const double begin = SteadySeconds();
    std::vector<Answer> answers;
    std::vector<std::pair<Group*, size_t>> of;  // group and index in the round's samples
    for (Completion& completion : pending_) {
      Group* group = running_.at(completion.request);
      const size_t index = group->place * size_ + static_cast<size_t>(completion.sample);
      Sample& sample = rounds_[group->round].told.samples[index];
      sample = SampleOf(group->asked, std::move(completion), work_.prompter.tokenizer());
      sample.problem = group->place;
      of.emplace_back(group, index);
      answers.push_back({&ProblemOf(*group), sample.text});
    }
    pending_.clear();
    std::vector<Score> scores = work_.environment.ScoreAll(answers, work_.stop);
    for (size_t i = 0; i < of.size(); ++i) {
      const auto [group, index] = of[i];
      Sample& sample = rounds_[group->round].told.samples[index];
      sample.score = std::move(scores[i]);
      if (work_.rescore)
        work_.rescore(work_.stream(static_cast<int64_t>(group->round)), index, sample.score);
      group->scores.push_back({.truncated = sample.truncated, .score = sample.score});
      group->teaches = group->teaches || work_.teaches(group->scores);
      ++group->judged;
    }
    cost_.score_seconds += SteadySeconds() - begin;
    Advance();
    SubmitWaiting();
  }

  // Opens what has become certain: a round has a problem for each group of the round before it that
  // teaches nothing, whichever these are.
  void Advance() {
    for (size_t r = 0; r < rounds_.size(); ++r) {
      size_t flat = 0, known = 0;
      for (const auto& group : rounds_[r].groups) {
        const bool ended = group->judged == size_;
        flat += ended && !group->teaches;
        known += ended || group->teaches;
      }
      // The numbers of the next round's problems follow those of this one.
      if (!rounds_[r].whole || flat == 0 || static_cast<int64_t>(r) + 1 == work_.most_rounds)
        return;
      if (r + 1 == rounds_.size()) {
        rounds_.emplace_back();
        rounds_[r + 1].first = rounds_[r].first + std::ssize(rounds_[r].groups);
      }
      while (rounds_[r + 1].groups.size() < flat) Open(r + 1);
      rounds_[r + 1].whole = known == rounds_[r].groups.size();
    }
  }

  const RoundsWork& work_;
  RolloutCost& cost_;
  const size_t size_;  // of a group
  std::deque<Round> rounds_;
  std::vector<Group*> waiting_;  // that the engine does not have yet
  Engine* engine_ = nullptr;
  std::shared_ptr<const std::vector<int32_t>> silent_;  // ids without a text
  std::map<RequestId, Group*> running_;                 // those that ended among them
  std::vector<Completion> pending_;                     // without a score
  int64_t most_running_ = 0;
  bool few_run_ = false;
};

}  // namespace

std::vector<SamplingRound> SampleRounds(const RoundsWork& work, RolloutCost* cost) {
  std::vector<SamplingRound> rounds;
  const auto size = static_cast<size_t>(work.options.samples);
  int64_t number = 0;
  for (int64_t wanted = work.groups; wanted > 0 && std::ssize(rounds) < work.most_rounds;) {
    SamplingRound round;
    for (int64_t i = 0; i < wanted; ++i) round.drawn.push_back(work.draw(number++));
    const std::vector<Problem> problems = ProblemsOf(round);
    RolloutOptions options = work.options;
    options.stream = work.stream(std::ssize(rounds));
    RolloutCost own;
    round.samples = Rollout(work.engine(problems), work.prompter, work.stop_tokens, problems,
                            work.environment, options, work.stop, &own);
    *cost += own;
    for (size_t i = 0; work.rescore && i < round.samples.size(); ++i)
      work.rescore(options.stream, i, round.samples[i].score);
    for (size_t p = 0; p < problems.size(); ++p)
      wanted -= work.teaches(std::span(round.samples).subspan(p * size, size));
    rounds.push_back(std::move(round));
  }
  return rounds;
}

std::vector<SamplingRound> SampleRoundsAtOnce(const RoundsWork& work, RolloutCost* cost) {
  return RoundsAtOnce(work, cost).Run();
}

}  // namespace darkhorse
