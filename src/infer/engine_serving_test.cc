// Requests that come and go while others run: Submit, Step and Cancel.
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "infer/engine_serving_testing.h"

namespace darkhorse {
namespace {

TEST_P(Serving, WhatComesAndGoesBesideItDoesNotChangeABit) {
  // All that 15 slots hold is 60 pages of 128 tokens; 4 are one sequence.
  const std::pair<int64_t, int64_t> sizes[] = {{1, 0}, {3, 0}, {15, 0}, {3, 400}, {15, 900}};
  for (const auto& [slots, cache_tokens] : sizes) {
    Engine engine = NewEngine(slots, 50, /*remember=*/false, cache_tokens);
    Listener listener;
    const EngineSink sink = listener.Sink();
    std::map<RequestId, size_t> kept;  // which request an id is
    const auto submit = [&](size_t r) { kept[engine.Submit(requests_[r])] = r; };
    const auto step = [&](int times) {
      for (int i = 0; i < times; ++i) EXPECT_TRUE(engine.Step(sink));
    };
    submit(3);
    const RequestId first_victim = engine.Submit(requests_[4]);  // cancelled amid its prompt
    submit(0);
    step(2);
    EXPECT_TRUE(engine.Cancel(first_victim));
    submit(4);
    GenerationRequest other = requests_[2];
    other.stream = 9999;
    other.stop_tokens.clear();
    const RequestId victim = engine.Submit(other);
    submit(1);
    step(9);
    const RequestId never = engine.Submit(requests_[1]);  // cancelled before it begins
    EXPECT_TRUE(engine.Cancel(never));
    EXPECT_TRUE(engine.Cancel(victim));
    EXPECT_FALSE(engine.Cancel(victim));
    const int64_t heard = listener.heard(victim);
    submit(2);
    RunOut(engine, sink);
    EXPECT_TRUE(engine.idle());
    EXPECT_EQ(listener.heard(first_victim) + listener.heard(never), 0);
    EXPECT_EQ(listener.heard(victim), heard);
    EXPECT_TRUE(slots < 15 || cache_tokens > 0 || heard > 0);  // some of it had been told
    for (const auto& [id, r] : kept) {
      std::vector<Completion> alone = Alone(requests_[r]);
      ASSERT_EQ(alone.size(), 3u);
      ExpectSame(listener.Of(id), alone);
      EXPECT_FALSE(engine.Cancel(id));  // it has ended
    }
    EXPECT_TRUE(listener.Of(victim).empty());
    // Every slot is free again: the same requests take as many passes as in a new engine.
    const auto passes = [&](Engine& e) {
      int64_t count = 0;
      e.Generate(requests_, {}, [&](const EngineStep&) { ++count; });
      return count;
    };
    Engine fresh = NewEngine(slots, 50, /*remember=*/false, cache_tokens);
    EXPECT_EQ(passes(engine), passes(fresh));
    if (cache_tokens > 0) {
      EXPECT_GT(engine.stats().preempted, 0);
    }
  }
}

// A short prompt behind a long one is not held up, and the long one goes on meanwhile.
TEST(PromptOrder, ShortOnesPassAndLongOnesGoOn) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 20});
  GenerationRequest request;
  request.max_tokens = 1;
  request.prompt.assign(200, 1);
  const RequestId longest = engine.Submit(request);
  request.prompt.assign(150, 2);
  const RequestId second = engine.Submit(request);
  std::map<RequestId, int> ended;
  int step = 0;
  EngineSink sink;
  sink.on_finished = [&](const Completion& completion) { ended[completion.request] = step; };
  std::vector<RequestId> shorts;
  bool more = true;
  for (; more; ++step) {
    ASSERT_LT(step, 1000);
    if (step < 15) {
      request.prompt.assign(5, 3);
      shorts.push_back(engine.Submit(request));
    }
    more = engine.Step(sink);
  }
  for (size_t i = 0; i < shorts.size(); ++i) EXPECT_EQ(ended[shorts[i]], static_cast<int>(i));
  EXPECT_EQ(ended[longest], 13);  // of 20 rows it gets 15 in each of 13 steps, then its last 5
  EXPECT_GT(ended[second], ended[longest]);
}

// No step takes more rows of prompts than it may, whatever has to come whole.
TEST_P(Serving, PromptsHaveSoManyRowsOfAStep) {
  Engine engine = NewEngine(4, 50);
  GenerationRequest request = requests_[0];
  request.max_tokens = 1;
  request.samples = 1;
  for (const int64_t size : {30, 120, 30, 40}) {
    request.prompt.assign(static_cast<size_t>(size), static_cast<int32_t>(size / 4));
    engine.Submit(request);
  }
  int64_t rows = 0;
  const auto on_step = [&](const EngineStep& step) {
    // Beside them each of four may decode.
    EXPECT_LE(step.rows, 50 + 4);
    rows += step.rows;
  };
  RunOut(engine, {.on_token = {}, .on_finished = {}, .on_step = on_step});
  EXPECT_EQ(rows, 30 + 120 + 30 + 40);
}

TEST_P(Serving, ACallbackThatThrowsIsNotToldTwiceAndNothingIsLost) {
  Engine engine = NewEngine(4);
  Listener listener;
  const EngineSink heard = listener.Sink();
  int tokens = 0, ends = 0, passes = 0, thrown = 0;
  const EngineSink sink = {.on_token =
                               [&](const Completion& so_far) {
                                 heard.on_token(so_far);
                                 if (++tokens % 50 == 0) throw Interruption();
                                 return true;
                               },
                           .on_finished =
                               [&](Completion completion) {
                                 heard.on_finished(std::move(completion));
                                 if (++ends % 2 == 0) throw Interruption();
                               },
                           .on_step =
                               [&](const EngineStep&) {
                                 if (++passes % 70 == 0) throw Interruption();
                               }};
  std::vector<RequestId> ids;
  for (const GenerationRequest& request : requests_) ids.push_back(engine.Submit(request));
  for (int steps = 0; !engine.idle(); ++steps) {
    ASSERT_LT(steps, 10000);
    try {
      engine.Step(sink);
    } catch (const Interruption&) {
      ++thrown;
    }
  }
  EXPECT_GE(thrown, 3 + 15 / 2);
  for (size_t r = 0; r < ids.size(); ++r) ExpectSame(listener.Of(ids[r]), Alone(requests_[r]));
}

// Between a callback that throws and the next step slots are freed, but not of those that have
// ended and are not told to their end.
TEST_P(Serving, CancellingAfterACallbackThrewLosesNothingOfOthers) {
  Engine engine = NewEngine(4);
  Listener listener;
  const EngineSink heard = listener.Sink();
  int tokens = 0, thrown = 0;
  const EngineSink sink = {.on_token =
                               [&](const Completion& so_far) {
                                 heard.on_token(so_far);
                                 if (++tokens % 3 == 0) throw Interruption();
                                 return true;
                               },
                           .on_finished = heard.on_finished,
                           .on_step = {}};
  std::vector<RequestId> ids;
  for (const GenerationRequest& request : requests_) ids.push_back(engine.Submit(request));
  for (int steps = 0; !engine.idle(); ++steps) {
    ASSERT_LT(steps, 10000);
    try {
      engine.Step(sink);
    } catch (const Interruption&) {
      ++thrown;
      EXPECT_TRUE(engine.Cancel(engine.Submit(requests_[0])));
    }
  }
  EXPECT_GT(thrown, 100);
  for (size_t r = 0; r < ids.size(); ++r) ExpectSame(listener.Of(ids[r]), Alone(requests_[r]));
}

TEST_P(Serving, AStepThatFailsLeavesAllAsItWas) {
  Engine engine = NewEngine(4);
  Listener listener;
  const EngineSink sink = listener.Sink();
  std::vector<RequestId> ids;
  for (const GenerationRequest& request : requests_) ids.push_back(engine.Submit(request));
  for (int i = 0; engine.Step(sink); ++i) {
    if (i % 10 != 2) continue;
    const float sound = std::exchange(weights_.norm[0], std::nanf(""));
    EXPECT_THROW(engine.Step(sink), Error);
    weights_.norm[0] = sound;
  }
  for (size_t r = 0; r < ids.size(); ++r) ExpectSame(listener.Of(ids[r]), Alone(requests_[r]));
}

TEST_P(Serving, CallbacksMaySubmitAndCancel) {
  Engine engine = NewEngine(4);
  Listener listener;
  const EngineSink heard = listener.Sink();
  // Two requests run, of which the first one's third token ends the second and one that waits;
  // each completion of the first asks for another request, and the last of those ends itself.
  requests_[1].stop_tokens.clear();
  GenerationRequest endless = requests_[1];
  endless.samples = 1;
  const RequestId first = engine.Submit(requests_[1]);
  const RequestId second = engine.Submit(endless);
  const RequestId waiting = engine.Submit(requests_[3]);
  std::vector<RequestId> asked;
  int64_t told_before = -1;
  const EngineSink sink = {
      .on_token =
          [&](const Completion& so_far) {
            heard.on_token(so_far);
            if (so_far.request == first && so_far.tokens.size() == 3 && told_before < 0) {
              told_before = listener.heard(second);
              EXPECT_TRUE(engine.Cancel(second));
              EXPECT_TRUE(engine.Cancel(waiting));
            }
            return true;
          },
      .on_finished =
          [&](Completion completion) {
            const bool of_first = completion.request == first;
            heard.on_finished(std::move(completion));
            if (!of_first) return;
            asked.push_back(engine.Submit(requests_[0]));
            EXPECT_TRUE(asked.size() != 3 || engine.Cancel(asked[2]));
          },
      .on_step = {}};
  RunOut(engine, sink);
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(listener.heard(second), told_before);
  EXPECT_EQ(listener.heard(waiting), 0);
  ExpectSame(listener.Of(first), Alone(requests_[1]));
  ASSERT_EQ(asked.size(), 3u);
  for (size_t i = 0; i < 2; ++i) ExpectSame(listener.Of(asked[i]), Alone(requests_[0]));
  EXPECT_TRUE(listener.Of(asked[2]).empty());
}
INSTANTIATE_TEST_SUITE_P(Engine, Serving, kEveryEngine, NameOf);

TEST(EngineServing, RequestsBeginInTheOrderInWhichTheyCame) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 1, .capacity = 400});
  Listener listener;
  std::vector<Key> expected;
  for (const GenerationRequest& request : Requests(m.config)) {
    const RequestId id = engine.Submit(request);
    for (int64_t sample = 0; sample < 3; ++sample) expected.emplace_back(id, sample);
  }
  RunOut(engine, listener.Sink());
  EXPECT_EQ(listener.order(), expected);
}

TEST(EngineServing, PartiesTakeTurns) {
  Model m;
  const ModelWeights weights = m.Bound();
  GenerationRequest request = Requests(m.config)[0];
  request.samples = 1;
  request.max_tokens = 3;
  request.stop_tokens.clear();
  GenerationRequest many = request;
  many.samples = 3;
  for (const int64_t slots : {1, 2}) {
    Engine engine(m.transformer, weights, {.slots = slots, .capacity = 400});
    Listener listener;
    std::map<RequestId, char> names;
    for (int i = 0; i < 3; ++i) names[engine.Submit(request, 1)] = 'a';
    names[engine.Submit(many, 1)] = 'a';
    engine.Step(listener.Sink());
    names[engine.Submit(many, 2)] = 'b';
    names[engine.Submit(request, 3)] = 'c';
    EXPECT_TRUE(engine.Cancel(engine.Submit(request, 4)));
    RunOut(engine, listener.Sink());
    std::string order;
    for (const Key& key : listener.order()) order += names[key.first];
    EXPECT_EQ(order, slots == 1 ? "aabcababaa" : "aaabcababa") << slots;
  }
}

TEST(EngineServing, CancelFreesItsSlotsAndHandsNothingOut) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = 400});
  EXPECT_FALSE(engine.Cancel(0));  // never asked for
  EXPECT_FALSE(engine.Step({}));
  GenerationRequest request = Requests(m.config)[1];
  GenerationRequest nothing = request;
  nothing.max_tokens = 0;
  Listener listener;
  const RequestId empty = engine.Submit(nothing), running = engine.Submit(request);
  EXPECT_FALSE(engine.idle());
  EXPECT_TRUE(engine.Cancel(empty));
  EXPECT_TRUE(engine.Step(listener.Sink()));
  EXPECT_TRUE(engine.Cancel(running));  // two samples run, one waits
  EXPECT_TRUE(engine.idle());
  EXPECT_FALSE(engine.Step(listener.Sink()));
  EXPECT_TRUE(listener.order().empty());
  EXPECT_EQ(listener.heard(running), 1);  // the other waited for the prompt
}

TEST(EngineServing, WhatTheLastCompletionCancelsRemainsNoWork) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = 400});
  GenerationRequest brief = Requests(m.config)[1];
  brief.samples = 1;
  GenerationRequest other = brief;
  brief.max_tokens = 1;
  other.stop_tokens.clear();
  engine.Submit(brief);
  const RequestId running = engine.Submit(other);
  EXPECT_FALSE(engine.Step({.on_token = {},
                            .on_finished = [&](const Completion&) { engine.Cancel(running); },
                            .on_step = {}}));
  EXPECT_TRUE(engine.idle());
}

TEST(EngineServing, GenerateEndsWhatItBeganWhereACallbackThrows) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 4, .capacity = 400});
  const auto throws = [](const Completion& c) -> bool {
    if (c.tokens.size() == 7) throw Interruption();
    return true;
  };
  EXPECT_THROW(engine.Generate(Requests(m.config), throws), Interruption);
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace darkhorse
