// What slots remember, and who gives way where a cache is smaller than all of them full.
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "infer/engine_serving_testing.h"

namespace darkhorse {
namespace {

class Slots : public Serving {};

// Conversations that go on, beginnings that are shared, prompts that come again, some cancelled
// amid their prompt or their answer, in an engine that remembers and has too few slots for all.
TEST_P(Slots, WhatIsRememberedDoesNotChangeABit) {
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
TEST_P(Slots, WhatGaveWayGoesOnWhereItWas) {
  GenerationRequest request = requests_[1];
  request.samples = 1;
  request.max_tokens = 390;
  request.stop_tokens.clear();
  // Of one token too: from latents that one is computed by itself, then as now.
  for (const auto& [cancelled, prompt] : {std::pair(false, 5), {true, 5}, {false, 1}}) {
    request.prompt.resize(static_cast<size_t>(prompt));
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

// What is told of a prompt is told once, though it is computed twice, and all of it, whatever is
// there already.
TEST_P(Slots, APromptThatGaveWayIsToldOnce) {
  GenerationRequest runs = requests_[4];
  runs.samples = 1;
  runs.stop_tokens.clear();
  runs.max_tokens = 100;  // two pages
  GenerationRequest grows = runs;
  grows.prompt.assign(100, 1);  // one, then two
  grows.max_tokens = 60;
  GenerationRequest told = runs;  // two
  told.prompt.insert(told.prompt.end(), runs.prompt.begin(), runs.prompt.begin() + 110);
  told.max_tokens = 9;
  told.of_prompt = {.logp = true, .hidden = true};
  for (const bool remember : {false, true}) {
    Engine engine = NewEngine(3, 10, remember, 5 * 128);
    Listener listener;
    engine.Submit(runs);
    const RequestId other = engine.Submit(grows);
    while (listener.heard(other) < 15) ASSERT_TRUE(engine.Step(listener.Sink()));
    const RequestId id = engine.Submit(told);
    while (engine.stats().preempted == 0) ASSERT_TRUE(engine.Step(listener.Sink()));
    EXPECT_EQ(listener.heard(id), 0);
    RunOut(engine, listener.Sink());
    const Completion got = listener.Of(id).at(0), alone = Alone(told, 10).at(0);
    EXPECT_EQ(got.tokens, alone.tokens);
    EXPECT_EQ(got.prompt.logp, alone.prompt.logp);
    EXPECT_EQ(got.prompt.hidden_sum, alone.prompt.hidden_sum);
  }
}

// Memory that slots hold is given back, not only counted.
TEST(SmallCache, TakesTheMemoryOfItsTokens) {
  ModelConfig config = SmallGroupedConfig();
  config.num_hidden_layers = 1;
  config.head_dim = 64;
  config.max_position_embeddings = 8192;
  Model m(config);
  const ModelWeights weights = m.Bound();
  Engine engine(
      m.transformer, weights,
      {.slots = 3, .capacity = 8192, .prefill_rows = 512, .remember = true, .cache_tokens = 8192});
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
INSTANTIATE_TEST_SUITE_P(Engine, Slots, kEveryEngine, NameOf);

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
  Engine NewEngine(int64_t slots, CacheForm form = CacheForm::kExpanded) {
    return Engine(
        m_.transformer, weights_,
        {.form = form, .slots = slots, .capacity = 400, .prefill_rows = 25, .remember = true});
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
  Engine engine = NewEngine(1);
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
  Engine engine = NewEngine(3);
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
  Engine engine = NewEngine(2);
  const std::vector<int32_t> a = Prompt(0, 20), b = Prompt(1, 20);
  Ask(engine, a);
  const auto [none, answer] = Ask(engine, b);
  EXPECT_EQ(Ask(engine, Joined(Joined(b, answer), a)).first, 25);
  EXPECT_EQ(Ask(engine, a).first, 19);
}

// Also where another that runs begins alike: it would have to be copied, over the oldest content.
TEST_F(Remembering, OfEqualBeginningsOneThatIsFreeGoesOn) {
  Engine engine = NewEngine(3);
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
  Engine engine(m_.transformer, weights_, {.slots = 1, .capacity = 400, .prefill_rows = 25});
  Ask(engine, Prompt(0, 60));
  EXPECT_EQ(Ask(engine, Prompt(0, 60)).first, 0);
}

// Of latents what begins with a whole first chunk is, and where a prompt is shorter, what follows
// the same prompt.
TEST_F(Remembering, LatentsBehindTheFirstChunk) {
  Engine engine = NewEngine(1, CacheForm::kLatent);
  const std::vector<int32_t> first = Prompt(0, 60);
  const auto [none, answer] = Ask(engine, first);
  EXPECT_EQ(none, 0);
  const auto computed = static_cast<int64_t>(first.size() + answer.size()) - 1;
  EXPECT_EQ(Ask(engine, Joined(Joined(first, answer), Prompt(1, 10))).first, computed);
  EXPECT_EQ(Ask(engine, Prompt(0, 51)).first, 50);
  EXPECT_EQ(Ask(engine, Joined(Prompt(0, 24), Prompt(1, 10))).first, 0);  // part of one
  EXPECT_EQ(Ask(engine, Prompt(0, 60)).first, 0);
  EXPECT_EQ(Ask(engine, Prompt(0, 26)).first, 25);
  EXPECT_EQ(Ask(engine, Prompt(0, 25)).first, 0);  // its first chunk is of 24
  EXPECT_EQ(Ask(engine, Prompt(0, 25)).first, 24);
  EXPECT_EQ(Ask(engine, Prompt(0, 26)).first, 0);
}

// Of one that still runs, too.
TEST_F(Remembering, LatentsOfWhatRuns) {
  Engine engine = NewEngine(2, CacheForm::kLatent);
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
  EXPECT_EQ(cached, 45 + 9);
}

// One that gave way, too: of two that say the same, nothing is computed twice but what each samples
// from.
TEST_F(Remembering, WhatGaveWayFindsWhatAnotherHolds) {
  for (const CacheForm form : {CacheForm::kExpanded, CacheForm::kLatent}) {
    Engine engine(m_.transformer, weights_,
                  {.form = form,
                   .slots = 2,
                   .capacity = 400,
                   .prefill_rows = 25,
                   .remember = true,
                   .cache_tokens = 4 * CacheBudget::kPage});
    GenerationRequest request;
    request.prompt = Prompt(0, 17);  // less than a chunk
    request.max_tokens = 300;
    request.sampling.temperature = 0;
    engine.Generate({request, request});
    EXPECT_GT(engine.stats().preempted, 0);
    const int64_t rows = 17 + 300 - 1;
    EXPECT_LE(engine.stats().work.rows, 2 * rows);
  }
}

}  // namespace
}  // namespace darkhorse
