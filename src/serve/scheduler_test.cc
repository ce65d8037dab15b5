#include "serve/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "infer/engine_testing.h"

namespace darkhorse {
namespace {

// Keeps what it hears; others wait for it.
class Listener : public Job {
 public:
  explicit Listener(int64_t completions, int64_t most_tokens = INT64_MAX)
      : left_(completions), most_tokens_(most_tokens) {}

  bool OnToken(size_t, const Completion& so_far) override {
    // An endless answer takes a second at least, so that a client that waits for a processor is in
    // time.
    if (so_far.tokens.size() > 60) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(over_);
    ++tokens_;
    changed_.notify_all();
    return static_cast<int64_t>(so_far.tokens.size()) < most_tokens_;
  }
  void OnFinished(size_t part, Completion completion) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(over_);
    completion.request = part;
    completions_.push_back(std::move(completion));
    over_ = --left_ == 0;
    changed_.notify_all();
  }
  void OnFailed(const ApiError& why) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(over_);
    why_ = fmt::format("{} {}", why.status(), why.what());
    over_ = true;
    changed_.notify_all();
  }

  void WaitForTokens(int64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_ >= count || over_; });
  }
  // By part, then sample.
  std::vector<Completion> Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over_; });
    std::sort(completions_.begin(), completions_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.request, a.sample) < std::pair(b.request, b.sample);
    });
    return completions_;
  }
  std::string why() {
    Wait();
    return why_;
  }
  bool over() {
    const std::lock_guard lock(mutex_);
    return over_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t left_, most_tokens_, tokens_ = 0;
  bool over_ = false;
  std::string why_;
  std::vector<Completion> completions_;
};

class SchedulerTest : public testing::Test {
 protected:
  Engine NewEngine(int64_t slots) {
    return Engine(model_.transformer, weights_,
                  {.slots = slots, .capacity = 400, .prefill_rows = 32});
  }
  static std::shared_ptr<Listener> Submit(Scheduler& scheduler, GenerationRequest request) {
    auto job = std::make_shared<Listener>(request.samples);
    Scheduler::Refusal refusal{};
    EXPECT_TRUE(scheduler.Submit({std::move(request)}, job, &refusal));
    return job;
  }
  // One that runs until it is ended.
  GenerationRequest Endless() const {
    GenerationRequest request = requests_[0];
    request.samples = 1;
    request.max_tokens = 399;
    request.stop_tokens.clear();
    return request;
  }

  Model model_;
  ModelWeights weights_ = model_.Bound();
  std::vector<GenerationRequest> requests_ = Requests(model_.config);
};

TEST_F(SchedulerTest, WhatARequestGetsDoesNotDependOnWhoElseAsks) {
  std::vector<std::vector<Completion>> alone;
  for (const GenerationRequest& request : requests_) {
    alone.push_back(NewEngine(1).Generate({request}));
    for (Completion& completion : alone.back()) completion.request = 0;
  }
  Engine engine = NewEngine(4);
  Scheduler scheduler(engine, 1000);
  std::vector<std::thread> clients;
  for (size_t client = 0; client < 6; ++client) {
    clients.emplace_back([&, client] {
      for (size_t i = 0; i < requests_.size(); ++i) {
        const size_t r = (i + client) % requests_.size();
        const auto victim = std::make_shared<Listener>(1);
        Scheduler::Refusal refusal{};
        const auto ticket = scheduler.Submit({Endless()}, victim, &refusal);
        ASSERT_TRUE(ticket);
        if (i % 2) victim->WaitForTokens(3);
        scheduler.Cancel(*ticket);
        ExpectSame(Submit(scheduler, requests_[r])->Wait(), alone[r]);
        EXPECT_FALSE(victim->over());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(scheduler.WaitIdle(60));
  const SchedulerStats stats = scheduler.stats();
  EXPECT_EQ(stats.waiting + stats.running, 0);
  EXPECT_GT(stats.steps, 0);
}

TEST_F(SchedulerTest, SeveralPromptsAreOneJob) {
  Engine engine = NewEngine(3);
  Scheduler scheduler(engine, 1000);
  const auto job = std::make_shared<Listener>(6);
  Scheduler::Refusal refusal{};
  ASSERT_TRUE(scheduler.Submit({requests_[1], requests_[2]}, job, &refusal));
  const std::vector<Completion> got = job->Wait();
  ExpectSame(got, NewEngine(1).Generate({requests_[1], requests_[2]}));
}

TEST_F(SchedulerTest, AJobMayHaveEnough) {
  Engine engine = NewEngine(1);
  Scheduler scheduler(engine, 10);
  const auto job = std::make_shared<Listener>(1, 5);
  Scheduler::Refusal refusal{};
  ASSERT_TRUE(scheduler.Submit({Endless()}, job, &refusal));
  EXPECT_EQ(job->Wait().at(0).tokens.size(), 5u);
}

TEST_F(SchedulerTest, RefusesWhenFullOrClosedAndWhatCannotBe) {
  Engine engine = NewEngine(1);
  Scheduler scheduler(engine, 2);
  const auto one = Submit(scheduler, Endless()), two = Submit(scheduler, Endless());
  Scheduler::Refusal refusal{};
  const auto job = std::make_shared<Listener>(1);
  EXPECT_FALSE(scheduler.Submit({Endless()}, job, &refusal));
  EXPECT_EQ(refusal, Scheduler::Refusal::kFull);
  one->Wait();
  two->Wait();
  EXPECT_TRUE(scheduler.WaitIdle(60));
  GenerationRequest impossible = Endless();
  impossible.prompt.assign(400, 1);
  EXPECT_THROW(scheduler.Submit({impossible}, job, &refusal), Error);
  impossible = Endless();
  impossible.logit_bias = {{61, 1.0f}};
  EXPECT_THROW(scheduler.Submit({impossible}, job, &refusal), Error);
  scheduler.Close();
  EXPECT_FALSE(scheduler.Submit({Endless()}, job, &refusal));
  EXPECT_EQ(refusal, Scheduler::Refusal::kClosed);
  EXPECT_FALSE(job->over());
}

// A job of many completions is one of those that may wait, and holds up no other.
TEST_F(SchedulerTest, JobsTakeTurnsWhateverTheirSize) {
  Engine engine = NewEngine(1);
  Scheduler scheduler(engine, 2);
  const auto large = std::make_shared<Listener>(12);
  GenerationRequest several = Endless();
  several.samples = 4;
  Scheduler::Refusal refusal{};
  ASSERT_TRUE(scheduler.Submit({several, several, several}, large, &refusal));
  GenerationRequest one = requests_[1];
  one.samples = 1;
  const auto small = std::make_shared<Listener>(1);
  ASSERT_TRUE(scheduler.Submit({one}, small, &refusal));
  EXPECT_FALSE(scheduler.Submit({one}, std::make_shared<Listener>(1), &refusal));
  EXPECT_EQ(refusal, Scheduler::Refusal::kFull);
  small->Wait();
  EXPECT_FALSE(large->over());
}

TEST_F(SchedulerTest, StoppingEndsWhatRunsAndWaits) {
  Engine engine = NewEngine(1);
  std::shared_ptr<Listener> runs, waits;
  {
    Scheduler scheduler(engine, 10);
    runs = Submit(scheduler, Endless());
    waits = Submit(scheduler, Endless());
    runs->WaitForTokens(2);
    EXPECT_FALSE(scheduler.WaitIdle(0));
    EXPECT_EQ(scheduler.stats().waiting, 1);
  }
  EXPECT_EQ(runs->why(), "503 the server is shutting down");
  EXPECT_EQ(waits->why(), "503 the server is shutting down");
  EXPECT_TRUE(engine.idle());
}

// One that cannot go on fails alone.
TEST_F(SchedulerTest, AJobThatFailsFailsAlone) {
  struct Failing : Listener {
    using Listener::Listener;
    bool OnToken(size_t, const Completion& so_far) override {
      if (so_far.tokens.size() == 3) throw std::runtime_error("no more");
      return true;
    }
  };
  Engine engine = NewEngine(2);
  Scheduler scheduler(engine, 10);
  const auto failing = std::make_shared<Failing>(1);
  Scheduler::Refusal refusal{};
  ASSERT_TRUE(scheduler.Submit({Endless()}, failing, &refusal));
  const auto other = Submit(scheduler, requests_[1]);
  EXPECT_EQ(failing->why(), "500 no more");
  ExpectSame(other->Wait(), NewEngine(1).Generate({requests_[1]}));
  EXPECT_TRUE(scheduler.WaitIdle(60));
}

}  // namespace
}  // namespace darkhorse
