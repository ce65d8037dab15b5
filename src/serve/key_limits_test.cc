#include "serve/key_limits.h"

#include <gtest/gtest.h>

#include <vector>

#include "serve/api_error.h"

namespace darkhorse {
namespace {

// Counts what it hears.
class Heard : public Job {
 public:
  void OnAccepted() override { ++accepted; }
  bool OnToken(size_t, const Completion&) override {
    ++tokens;
    return goes_on;
  }
  void OnFinished(size_t, Completion) override { ++finished; }
  void OnFailed(const ApiError& why) override { failed = why.what(); }
  int accepted = 0, tokens = 0, finished = 0;
  bool goes_on = true;
  std::string failed;
};

class KeyLimitsTest : public testing::Test {
 protected:
  KeyLimits Limits(std::vector<AccessKey> keys) {
    return KeyLimits(keys, [this] { return now_; });
  }
  static std::vector<GenerationRequest> Requests(int64_t tokens, int64_t samples = 1) {
    GenerationRequest request;
    request.prompt.assign(static_cast<size_t>(tokens), 7);
    request.samples = samples;
    return {request};
  }
  // A request of so many tokens that is accepted.
  static std::shared_ptr<Job> Begin(KeyLimits& limits, size_t key, int64_t tokens) {
    auto job = limits.Metered(key, Requests(tokens), std::make_shared<Heard>());
    job->OnAccepted();
    return job;
  }
  // The seconds to wait; 0: taken.
  static int64_t Refused(KeyLimits& limits, size_t key, const std::string& says) {
    try {
      limits.Metered(key, Requests(0), std::make_shared<Heard>());
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 429);
      EXPECT_EQ(error.code(), "rate_limit_exceeded");
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
      return error.retry_after();
    }
    return 0;
  }
  double now_ = 1000;
};

TEST_F(KeyLimitsTest, AKeyHasSoManyRequestsAtOnce) {
  KeyLimits limits = Limits({{"a", "ann", 2, {}}, {"b"}});
  auto first = Begin(limits, 0, 5);
  auto second = Begin(limits, 0, 5);
  EXPECT_EQ(Refused(limits, 0, "key 'ann' may have 2 requests at once"), 1);
  std::vector<std::shared_ptr<Job>> others;
  for (int i = 0; i < 10; ++i) others.push_back(Begin(limits, 1, 1000));  // who has no limit
  EXPECT_EQ(Refused(limits, 0, "at once"), 1);
  first.reset();
  EXPECT_EQ(Refused(limits, 0, ""), 0);  // taken, and let go at once
  first = Begin(limits, 0, 5);
  EXPECT_EQ(Refused(limits, 0, "at once"), 1);
}

// Before its client is told the last, or that there is none: it may ask again at once.
TEST_F(KeyLimitsTest, APlaceIsFreeWhenTheAnswerIsThere) {
  KeyLimits limits = Limits({{"a", "", 1, {}}});
  class Asks : public Heard {
   public:
    explicit Asks(KeyLimits& limits) : limits_(limits) {}
    void OnFinished(size_t part, Completion completion) override {
      Heard::OnFinished(part, std::move(completion));
      waits.push_back(Refused(limits_, 0, "at once"));
    }
    void OnFailed(const ApiError&) override { waits.push_back(Refused(limits_, 0, "at once")); }
    std::vector<int64_t> waits;

   private:
    KeyLimits& limits_;
  };
  const auto asks = std::make_shared<Asks>(limits);
  std::vector<GenerationRequest> requests = Requests(1, 2);
  requests.push_back(requests[0]);
  auto job = limits.Metered(0, requests, asks);
  for (int i = 0; i < 4; ++i) job->OnFinished(static_cast<size_t>(i / 2), {});
  EXPECT_EQ(asks->waits, (std::vector<int64_t>{1, 1, 1, 0}));
  auto next = limits.Metered(0, requests, asks);
  job.reset();  // which has given its place back already
  EXPECT_EQ(Refused(limits, 0, "at once"), 1);
  next->OnFailed(ApiError(503, "no more"));
  EXPECT_EQ(asks->waits.back(), 0);
}

// 120 tokens a minute are two a second.
TEST_F(KeyLimitsTest, TokensComeBackEvenly) {
  KeyLimits limits = Limits({{"a", "", {}, 120}});
  Begin(limits, 0, 119);
  EXPECT_EQ(Refused(limits, 0, ""), 0);  // one is left
  Begin(limits, 0, 1);
  EXPECT_EQ(Refused(limits, 0, "this key may use 120 tokens a minute"), 1);
  now_ += 0.25;
  EXPECT_EQ(Refused(limits, 0, ""), 0);         // half of one is
  Begin(limits, 0, 100);                        // more than there are
  EXPECT_EQ(Refused(limits, 0, "tokens"), 51);  // 99.5 are owed, and one must be there: 50.25 s
  now_ += 49;
  EXPECT_EQ(Refused(limits, 0, "tokens"), 2);
  now_ += 2;
  EXPECT_EQ(Refused(limits, 0, ""), 0);
  // However long nobody asks, a minute's worth is there.
  now_ += 100000;
  Begin(limits, 0, 120);
  EXPECT_EQ(Refused(limits, 0, "tokens"), 1);
  EXPECT_EQ(limits.used(0), 340);
}

TEST_F(KeyLimitsTest, AnswersCountAsTheyCome) {
  KeyLimits limits = Limits({{"a", "", {}, 60}});
  const auto heard = std::make_shared<Heard>();
  const auto job = limits.Metered(0, Requests(10), heard);
  EXPECT_EQ(limits.used(0), 0);  // it may still be refused by others
  job->OnAccepted();
  EXPECT_EQ(limits.used(0), 10);
  for (int i = 0; i < 49; ++i) EXPECT_TRUE(job->OnToken(0, {}));
  EXPECT_EQ(Refused(limits, 0, ""), 0);
  heard->goes_on = false;
  EXPECT_FALSE(job->OnToken(0, {}));
  EXPECT_EQ(Refused(limits, 0, "tokens"), 1);
  EXPECT_EQ(limits.used(0), 60);
  job->OnFinished(0, {});
  job->OnFailed(ApiError(503, "no more"));
  EXPECT_EQ(heard->accepted, 1);
  EXPECT_EQ(heard->tokens, 50);
  EXPECT_EQ(heard->finished, 1);
  EXPECT_EQ(heard->failed, "no more");
}

// What is refused takes no place and no tokens.
TEST_F(KeyLimitsTest, WhatIsRefusedCostsNothing) {
  KeyLimits limits = Limits({{"a", "", 1, 60}});
  for (int i = 0; i < 3; ++i)
    limits.Metered(0, Requests(100), std::make_shared<Heard>());  // by the queue
  EXPECT_EQ(limits.used(0), 0);
  auto job = Begin(limits, 0, 60);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Refused(limits, 0, "at once"), 1);
  job.reset();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Refused(limits, 0, "tokens"), 1);
  now_ += 1;
  EXPECT_EQ(Refused(limits, 0, ""), 0);
}

}  // namespace
}  // namespace darkhorse
