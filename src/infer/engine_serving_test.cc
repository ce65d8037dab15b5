// Requests that come and go while others run: Submit, Step and Cancel.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "infer/engine_testing.h"
#include "infer/oracle_testing.h"

namespace darkhorse {
namespace {

using Key = std::pair<RequestId, int64_t>;

// Remembers what an engine tells, and checks that it tells each token once and in order.
class Listener {
 public:
  EngineSink Sink() {
    return {.on_token = [this](const Completion& so_far) { return Token(so_far); },
            .on_finished = [this](Completion c) { Finished(std::move(c)); },
            .on_step = {}};
  }
  // Of one request, in order of samples.
  std::vector<Completion> Of(RequestId id) const {
    std::vector<Completion> completions;
    for (const auto& [key, completion] : finished_) {
      if (key.first == id) completions.push_back(completion);
    }
    return completions;
  }
  int64_t heard(RequestId id) const {
    const auto found = heard_.find(id);
    return found == heard_.end() ? 0 : found->second;
  }
  const std::vector<Key>& order() const { return order_; }

 private:
  bool Token(const Completion& so_far) {
    const Key key(so_far.request, so_far.sample);
    EXPECT_EQ(++told_[key], static_cast<int64_t>(so_far.tokens.size()));
    EXPECT_EQ(finished_.count(key), 0u);
    ++heard_[so_far.request];
    return true;
  }
  void Finished(Completion completion) {
    const Key key(completion.request, completion.sample);
    EXPECT_EQ(told_[key], static_cast<int64_t>(completion.tokens.size()));
    EXPECT_EQ(finished_.count(key), 0u);
    order_.push_back(key);
    finished_[key] = std::move(completion);
  }

  std::map<Key, int64_t> told_;
  std::map<RequestId, int64_t> heard_;
  std::map<Key, Completion> finished_;
  std::vector<Key> order_;
};

// Steps until nothing remains; no test here needs as many as ten thousand.
void RunOut(Engine& engine, const EngineSink& sink) {
  for (int steps = 0; engine.Step(sink); ++steps) ASSERT_LT(steps, 10000);
}

struct Served {
  CacheForm form;
  bool guesses;
};

class Serving : public testing::TestWithParam<Served> {
 protected:
  Engine NewEngine(int64_t slots, int64_t prefill_rows = 50, bool remember = false,
                   int64_t cache_tokens = 0) {
    const auto [form, guesses] = GetParam();
    return Engine(m_.transformer, weights_, form, slots, 400, prefill_rows, remember,
                  guesses ? MakeOracle(m_.transformer, weights_, form, 400, prefill_rows) : nullptr,
                  cache_tokens);
  }
  // Of a cache with less room than its slots: of latents none gives way.
  void ExpectPreemption(const Engine& engine) const {
    if (GetParam().form == CacheForm::kLatent) {
      EXPECT_EQ(engine.stats().preempted, 0);
    } else {
      EXPECT_GT(engine.stats().preempted, 0);
    }
  }
  std::vector<Completion> Alone(const GenerationRequest& request, int64_t prefill_rows = 50) {
    return Engine(m_.transformer, weights_, GetParam().form, 1, 400, prefill_rows)
        .Generate({request});
  }
  Model m_;
  ModelWeights weights_ = m_.Bound();
  std::vector<GenerationRequest> requests_ = Requests(m_.config);
};

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
    if (cache_tokens > 0) ExpectPreemption(engine);
  }
}

// Conversations that go on, beginnings that are shared, prompts that come again, some cancelled
// amid their prompt or their answer, in an engine that remembers and has too few slots for all.
TEST_P(Serving, WhatIsRememberedDoesNotChangeABit) {
  const std::pair<int64_t, int64_t> sizes[] = {{1, 0}, {2, 0}, {5, 0}, {2, 400}, {5, 700}};
  for (const auto& [slots, cache_tokens] : sizes) {
    Engine engine = NewEngine(slots, 25, /*remember=*/true, cache_tokens);
    Listener listener;
    const EngineSink sink = listener.Sink();
    std::map<RequestId, GenerationRequest> asked;
    RandomSequence random(5, RandomStream::kTest, static_cast<uint64_t>(slots));
    // Prompts are beginnings of few texts, which answers have been added to.
    std::vector<std::vector<int32_t>> texts = {requests_[3].prompt, requests_[4].prompt};
    for (int turn = 0; turn < 40; ++turn) {
      GenerationRequest request = requests_[0];
      std::vector<int32_t>& text = texts[random.Below(2)];
      const auto size = static_cast<int64_t>(text.size());
      request.prompt.assign(text.begin(), text.begin() + random.Between(size * 2 / 3, size));
      for (uint64_t i = random.Below(3); i > 0; --i)
        request.prompt.push_back(static_cast<int32_t>(random.Below(61)));
      request.samples = random.Between(1, 2);
      request.max_tokens = random.Between(1, 30);
      request.stream = random.Below(3);
      const RequestId id = engine.Submit(request);
      const bool victim = random.Below(4) == 0;
      for (uint64_t steps = random.Below(4); steps > 0; --steps) engine.Step(sink);
      if (victim) {
        engine.Cancel(id);
        continue;
      }
      asked[id] = request;
      if (random.Below(2) == 0) RunOut(engine, sink);
      for (const Completion& completion : listener.Of(id)) {
        text = request.prompt;
        text.insert(text.end(), completion.tokens.begin(), completion.tokens.end());
      }
    }
    RunOut(engine, sink);
    for (const auto& [id, request] : asked) {
      std::vector<Completion> got = listener.Of(id);
      ExpectSame(got, Alone(request, 25));
    }
    EXPECT_GT(engine.stats().shared_tokens, 500) << slots;
  }
}

// Three that do not have room together: those that began last give way, keep what they have said,
// and come back in their order when there is room, before others begin. One that is cancelled
// meanwhile leaves nothing.
TEST_P(Serving, WhatGaveWayGoesOnWhereItWas) {
  if (GetParam().form == CacheForm::kLatent) return;
  GenerationRequest request = requests_[1];
  request.samples = 1;
  request.max_tokens = 390;
  request.stop_tokens.clear();
  for (const bool cancelled : {false, true}) {
    Engine engine = NewEngine(4, 50, /*remember=*/false, 400);
    Listener listener;
    const EngineSink sink = listener.Sink();
    std::vector<RequestId> ids;
    std::vector<GenerationRequest> asked(3, request);
    for (size_t i = 0; i < 3; ++i) {
      asked[i].stream = 77 * i;
      ids.push_back(engine.Submit(asked[i]));
    }
    while (engine.stats().preempted < 2) ASSERT_TRUE(engine.Step(sink));
    EXPECT_EQ(engine.running(), 1);
    const int64_t heard = listener.heard(ids[1]);
    EXPECT_GT(heard, 100);
    if (cancelled) {
      EXPECT_TRUE(engine.Cancel(ids[1]));
      EXPECT_FALSE(engine.Cancel(ids[1]));
    }
    GenerationRequest brief = requests_[0];
    brief.samples = 1;
    brief.max_tokens = 3;
    const RequestId last = engine.Submit(brief);
    engine.Step(sink);
    EXPECT_EQ(listener.heard(ids[1]), heard);
    EXPECT_EQ(listener.heard(last), 0);
    RunOut(engine, sink);
    EXPECT_TRUE(engine.idle());
    std::vector<Key> order = {{ids[0], 0}, {ids[1], 0}, {ids[2], 0}};
    if (cancelled) order.erase(order.begin() + 1);
    std::vector<Key> ended = listener.order();
    std::erase(ended, Key(last, 0));
    EXPECT_EQ(ended, order);
    for (size_t i = 0; i < 3; ++i) {
      if (!cancelled || i != 1) ExpectSame(listener.Of(ids[i]), Alone(asked[i]));
    }
    EXPECT_EQ(listener.heard(ids[1]), cancelled ? heard : 390);
    ExpectSame(listener.Of(last), Alone(brief));
  }
}

// What is told of a prompt is told once, though it is computed twice.
TEST_P(Serving, APromptThatGaveWayIsToldOnce) {
  if (GetParam().form == CacheForm::kLatent) return;
  Engine engine = NewEngine(2, 10, /*remember=*/false, 400);
  GenerationRequest runs = requests_[4];
  runs.samples = 1;
  runs.max_tokens = 250;
  runs.stop_tokens.clear();
  GenerationRequest told = runs;
  told.prompt.insert(told.prompt.end(), runs.prompt.begin(), runs.prompt.end() - 10);
  told.max_tokens = 9;
  told.of_prompt = {.logp = true, .hidden = true};
  Listener listener;
  const RequestId first = engine.Submit(runs);
  while (listener.heard(first) < 115) ASSERT_TRUE(engine.Step(listener.Sink()));
  const RequestId id = engine.Submit(told);  // the first needs a third page amid its prompt
  while (engine.stats().preempted == 0) ASSERT_TRUE(engine.Step(listener.Sink()));
  EXPECT_EQ(listener.heard(id), 0);
  RunOut(engine, listener.Sink());
  const Completion got = listener.Of(id).at(0), alone = Alone(told, 10).at(0);
  EXPECT_EQ(got.tokens, alone.tokens);
  EXPECT_EQ(got.prompt.logp, alone.prompt.logp);
  EXPECT_EQ(got.prompt.hidden_sum, alone.prompt.hidden_sum);
}

// Memory that slots hold is given back, not only counted.
TEST(SmallCache, TakesTheMemoryOfItsTokens) {
  ModelConfig config = SmallGroupedConfig();
  config.num_hidden_layers = 1;
  config.head_dim = 64;
  config.max_position_embeddings = 8192;
  Model m(config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 3, 8192, 512, /*remember=*/true,
                nullptr, 8192);
  GenerationRequest request;
  request.max_tokens = 1;
  const auto ask = [&](int32_t token) {
    request.prompt.assign(8000, token);
    engine.Generate({request});
    return ResidentMemoryBytes();
  };
  const int64_t first = ask(1);
  constexpr int64_t kBytes = int64_t{2 * 2 * 64 * 4} * 8000;  // of one prompt
  EXPECT_LT(ask(2) + ask(3), 2 * first + kBytes);
}

class Remembering : public testing::Test {
 protected:
  // How many tokens of a prompt an engine did not compute, and what it answers in 6 tokens.
  std::pair<int64_t, std::vector<int32_t>> Ask(Engine& engine, std::vector<int32_t> prompt) {
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.max_tokens = 6;
    const Completion completion = engine.Generate({request}).front();
    return {completion.cached, completion.tokens};
  }
  std::vector<int32_t> Prompt(int32_t seed, int64_t size) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < size; ++i)
      tokens.push_back(static_cast<int32_t>(RandomBits(4, RandomStream::kTest, seed, i) % 61));
    return tokens;
  }
  static std::vector<int32_t> Joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  Model m_;
  ModelWeights weights_ = m_.Bound();
};

TEST_F(Remembering, AConversationIsComputedOnce) {
  Engine engine(m_.transformer, weights_, CacheForm::kExpanded, 1, 400, 25, /*remember=*/true);
  const std::vector<int32_t> first = Prompt(0, 60);
  const auto [none, answer] = Ask(engine, first);
  EXPECT_EQ(none, 0);
  // All but the answer's last token, which nothing was computed from.
  const std::vector<int32_t> second = Joined(Joined(first, answer), Prompt(1, 10));
  EXPECT_EQ(Ask(engine, second).first, 65);
  EXPECT_EQ(Ask(engine, second).first, 75);  // the last one is what an answer begins from
  EXPECT_EQ(Ask(engine, Prompt(2, 10)).first, 0);
  EXPECT_EQ(engine.stats().shared_tokens, 65 + 75);
}

TEST_F(Remembering, SlotsAreTakenFromWhatWasUsedLongestAgo) {
  Engine engine(m_.transformer, weights_, CacheForm::kExpanded, 3, 400, 25, /*remember=*/true);
  const std::vector<int32_t> system = Prompt(0, 40), a = Joined(system, Prompt(1, 20)),
                             b = Joined(system, Prompt(2, 20)), other = Prompt(3, 20);
  EXPECT_EQ(Ask(engine, a).first, 0);
  EXPECT_EQ(Ask(engine, b).first, 40);     // copied: the conversation of a stays
  EXPECT_EQ(Ask(engine, a).first, 59);     // copied as well, for it held an answer behind
  EXPECT_EQ(Ask(engine, other).first, 0);  // where a was at first
  EXPECT_EQ(Ask(engine, b).first, 59);
  EXPECT_EQ(Ask(engine, other).first, 19);
}

// In its own slot, and no other's content goes for it.
TEST_F(Remembering, AConversationGoesOnInPlace) {
  Engine engine(m_.transformer, weights_, CacheForm::kExpanded, 2, 400, 25, /*remember=*/true);
  const std::vector<int32_t> a = Prompt(0, 20), b = Prompt(1, 20);
  Ask(engine, a);
  const auto [none, answer] = Ask(engine, b);
  EXPECT_EQ(Ask(engine, Joined(Joined(b, answer), a)).first, 25);
  EXPECT_EQ(Ask(engine, a).first, 19);
}

// Also where another that runs begins alike: it would have to be copied, over the oldest content.
TEST_F(Remembering, OfEqualBeginningsOneThatIsFreeGoesOn) {
  Engine engine(m_.transformer, weights_, CacheForm::kExpanded, 3, 400, 25, /*remember=*/true);
  const std::vector<int32_t> oldest = Prompt(0, 20), prompt = Prompt(1, 20);
  Ask(engine, oldest);
  std::map<RequestId, Completion> ended;
  const EngineSink sink = {.on_token = {},
                           .on_finished = [&](Completion c) { ended[c.request] = std::move(c); },
                           .on_step = {}};
  const auto finish = [&](const std::vector<int32_t>& tokens) {
    GenerationRequest request;
    request.prompt = tokens;
    request.max_tokens = 1;
    const RequestId id = engine.Submit(request);
    while (!ended.contains(id)) ASSERT_TRUE(engine.Step(sink));
    EXPECT_EQ(ended[id].cached, static_cast<int64_t>(tokens.size()) == 20 ? 0 : 20);
  };
  GenerationRequest runs;
  runs.prompt = prompt;
  runs.max_tokens = 100;
  engine.Submit(runs);
  finish(prompt);
  finish(Joined(prompt, Prompt(2, 5)));
  EXPECT_EQ(engine.running(), 1);
  RunOut(engine, sink);
  EXPECT_EQ(Ask(engine, oldest).first, 19);
}

TEST_F(Remembering, OnlyWhereAskedFor) {
  Engine engine(m_.transformer, weights_, CacheForm::kExpanded, 1, 400, 25);
  Ask(engine, Prompt(0, 60));
  EXPECT_EQ(Ask(engine, Prompt(0, 60)).first, 0);
}

// Of latents whole chunks of prompts are.
TEST_F(Remembering, LatentsOfWholeChunks) {
  Engine engine(m_.transformer, weights_, CacheForm::kLatent, 1, 400, 25, /*remember=*/true);
  const std::vector<int32_t> first = Prompt(0, 60);
  const auto [none, answer] = Ask(engine, first);
  EXPECT_EQ(none, 0);
  EXPECT_EQ(Ask(engine, Joined(Joined(first, answer), Prompt(1, 10))).first, 50);
  EXPECT_EQ(Ask(engine, Prompt(0, 51)).first, 50);
  EXPECT_EQ(Ask(engine, Prompt(0, 50)).first, 25);
  const std::vector<int32_t> brief = Prompt(2, 45);
  const std::vector<int32_t> said = Ask(engine, brief).second;  // row by row beyond the prompt
  EXPECT_EQ(Ask(engine, Joined(Joined(brief, said), Prompt(1, 10))).first, 25);
}

// Of one that still runs, too.
TEST_F(Remembering, LatentsOfWholeChunksOfWhatRuns) {
  Engine engine(m_.transformer, weights_, CacheForm::kLatent, 2, 400, 25, /*remember=*/true);
  GenerationRequest runs;
  runs.prompt = Prompt(0, 45);
  runs.max_tokens = 100;
  const RequestId id = engine.Submit(runs);
  std::vector<int32_t> said;
  int64_t cached = -1;
  const EngineSink sink = {.on_token =
                               [&](const Completion& so_far) {
                                 if (so_far.request == id) said = so_far.tokens;
                                 return true;
                               },
                           .on_finished =
                               [&](const Completion& c) {
                                 if (c.request != id) cached = c.cached;
                               },
                           .on_step = {}};
  while (said.size() < 10) ASSERT_TRUE(engine.Step(sink));
  GenerationRequest goes_on;
  goes_on.prompt = Joined(runs.prompt, said);
  goes_on.max_tokens = 1;
  engine.Submit(goes_on);
  RunOut(engine, sink);
  EXPECT_EQ(cached, 25);
}

// A short prompt behind a long one is not held up, and the long one goes on meanwhile.
TEST(PromptOrder, ShortOnesPassAndLongOnesGoOn) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 8, 400, 20);
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
      request.prompt.assign(10, 3);
      shorts.push_back(engine.Submit(request));
    }
    more = engine.Step(sink);
  }
  for (size_t i = 0; i < shorts.size(); ++i) EXPECT_EQ(ended[shorts[i]], static_cast<int>(i));
  EXPECT_EQ(ended[longest], 14 + 3);  // half of the rows for 15 steps, then all
  EXPECT_GT(ended[second], ended[longest]);
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

std::string NameOf(const testing::TestParamInfo<Served>& of) {
  return std::string(of.param.form == CacheForm::kExpanded ? "Expanded" : "Latent") +
         (of.param.guesses ? "Guessing" : "");
}

INSTANTIATE_TEST_SUITE_P(Engine, Serving,
                         testing::Values(Served{CacheForm::kExpanded, false},
                                         Served{CacheForm::kLatent, false},
                                         Served{CacheForm::kExpanded, true},
                                         Served{CacheForm::kLatent, true}),
                         NameOf);

TEST(EngineServing, RequestsBeginInTheOrderInWhichTheyCame) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 1, 400);
  Listener listener;
  std::vector<Key> expected;
  for (const GenerationRequest& request : Requests(m.config)) {
    const RequestId id = engine.Submit(request);
    for (int64_t sample = 0; sample < 3; ++sample) expected.emplace_back(id, sample);
  }
  RunOut(engine, listener.Sink());
  EXPECT_EQ(listener.order(), expected);
}

TEST(EngineServing, CancelFreesItsSlotsAndHandsNothingOut) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 2, 400);
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
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 2, 400);
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
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 4, 400);
  const auto throws = [](const Completion& c) -> bool {
    if (c.tokens.size() == 7) throw Interruption();
    return true;
  };
  EXPECT_THROW(engine.Generate(Requests(m.config), throws), Interruption);
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace darkhorse
