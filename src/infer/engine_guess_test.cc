// Guessed tokens change nothing: what an engine with a proposer generates is what one without does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "infer/engine_testing.h"
#include "infer/look_up.h"
#include "infer/oracle_testing.h"
#include "model/packed_weights.h"

namespace darkhorse {
namespace {

// Of every way to sample.
std::vector<GenerationRequest> Various(const ModelConfig& config) {
  std::vector<GenerationRequest> requests = Requests(config);
  for (GenerationRequest& request : requests) {
    request.samples = 2;
    request.max_tokens = std::min<int64_t>(request.max_tokens, 80);
  }
  requests[0].sampling.temperature = 0;
  requests[0].top_logp = 3;
  requests[1].thought = {
      .tokens = 20, .begun = true, .close = "x", .ending = {3, 4, 3}, .bytes = [](int32_t token) {
        return token == 4 ? "x" : "-";
      }};
  requests[2].sampling = {.temperature = 0.7f, .top_k = 20, .top_p = 0.9f, .min_p = 0.01f};
  requests[2].stop_tokens = {9, 30, 47};
  requests[3].sampling = {
      .repetition_penalty = 1.3f, .presence_penalty = 0.5f, .frequency_penalty = 0.4f};
  requests[3].stop_tokens.clear();
  requests[4].logit_bias = {{7, 2.0f}, {11, -3.0f}};
  requests[4].never = std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{1, 2});
  requests[4].top_logp = 2;
  return requests;
}

// Asks the other as if no token stopped.
class Blind : public Proposer {
 public:
  explicit Blind(std::unique_ptr<Proposer> other) : other_(std::move(other)) {}
  void Propose(std::span<Proposal> proposals) override {
    GenerationRequest endless = *proposals[0].request;  // there is one sequence
    endless.stop_tokens.clear();
    const GenerationRequest* asked = std::exchange(proposals[0].request, &endless);
    other_->Propose(proposals);
    proposals[0].request = asked;
  }

 private:
  std::unique_ptr<Proposer> other_;
};

struct Case {
  const char* name;
  bool grouped;
  Format format;
  CacheForm form;
};

class Guesses : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Engine, Guesses,
    testing::Values(Case{"ExpandedF32", false, Format::kF32, CacheForm::kExpanded},
                    Case{"ExpandedBf16", false, Format::kBf16, CacheForm::kExpanded},
                    Case{"ExpandedQ8", false, Format::kQ8, CacheForm::kExpanded},
                    Case{"LatentF32", false, Format::kF32, CacheForm::kLatent},
                    Case{"LatentBf16", false, Format::kBf16, CacheForm::kLatent},
                    Case{"LatentQ4", false, Format::kQ4, CacheForm::kLatent},
                    Case{"GroupedF32", true, Format::kF32, CacheForm::kExpanded},
                    Case{"GroupedBf16", true, Format::kBf16, CacheForm::kExpanded},
                    Case{"GroupedQ4", true, Format::kQ4, CacheForm::kExpanded}),
    [](const auto& of) { return std::string(of.param.name); });

TEST_P(Guesses, ChangeNoBit) {
  const auto [name, grouped, format, form] = GetParam();
  Model m(grouped ? SmallGroupedConfig() : SmallConfig());
  const PackedWeights packed(m.config, m.layout, m.weights.data(), format);
  const auto requests = Various(m.config);
  const auto expect_same = [&](int64_t slots, int64_t prefill_rows) {
    const auto expected =
        Engine(m.transformer, packed.model(),
               {.form = form, .slots = 1, .capacity = 400, .prefill_rows = prefill_rows})
            .Generate(requests);
    Engine engine(m.transformer, packed.model(),
                  {.form = form,
                   .slots = slots,
                   .capacity = 400,
                   .prefill_rows = prefill_rows,
                   .remember = slots == 3},
                  MakeOracle(m.transformer, packed.model(), form, 400, prefill_rows));
    ExpectSame(expected, engine.Generate(requests));
    const EngineStep& work = engine.stats().work;
    if (slots == 15) return;  // so many that few guesses pay
    EXPECT_GT(work.accepted, 100);
    EXPECT_GT(work.guessed, work.accepted + 20);
  };
  expect_same(1, 1000);
  expect_same(3, 20);
  expect_same(15, 20);
}

class GuessRules : public testing::Test {
 protected:
  Engine NewEngine(std::unique_ptr<Proposer> proposer, int64_t slots = 1, int64_t capacity = 400) {
    return Engine(m_.transformer, weights_,
                  {.slots = slots, .capacity = capacity, .prefill_rows = 50}, std::move(proposer));
  }
  std::unique_ptr<Oracle> NewOracle(Oracle::Wrong wrong, int64_t capacity = 400) {
    return MakeOracle(m_.transformer, weights_, CacheForm::kExpanded, capacity, 50,
                      std::move(wrong));
  }
  GenerationRequest Long() {
    GenerationRequest request = Requests(m_.config)[1];
    request.samples = 1;
    request.max_tokens = 300;
    request.stop_tokens.clear();
    return request;
  }
  Model m_;
  ModelWeights weights_ = m_.Bound();
};

TEST_F(GuessRules, RightOnesSparePasses) {
  Engine engine = NewEngine(NewOracle(Oracle::Never));
  int64_t passes = 0;
  const auto said = engine.Generate({Long()}, {}, [&](const EngineStep& step) {
    ++passes;
    EXPECT_EQ(step.accepted, step.guessed);
    EXPECT_LE(step.guessed, Proposer::kMost);
  });
  ASSERT_EQ(said[0].tokens.size(), 300u);
  // One for the prompt; of the others, all but the first few as large as may be.
  const EngineStep& work = engine.stats().work;
  EXPECT_EQ(work.guessed, 300 - passes);
  EXPECT_EQ(work.rows, 5 + 299);
  EXPECT_LE(passes, 300 / (Proposer::kMost + 1) + 6);
}

TEST_F(GuessRules, WrongOnesAreGivenUp) {
  Engine engine = NewEngine(NewOracle([](size_t) { return true; }));
  const auto expected = NewEngine(nullptr).Generate({Long()});
  ExpectSame(expected, engine.Generate({Long()}));
  EXPECT_EQ(engine.stats().work.accepted, 0);
  EXPECT_GT(engine.stats().work.guessed, 0);
  EXPECT_LT(engine.stats().work.guessed, 10);
}

TEST_F(GuessRules, OnesThatBecomeRightAreTakenUpAgain) {
  Engine engine = NewEngine(NewOracle([](size_t index) { return index < 150; }));
  engine.Generate({Long()});
  EXPECT_GT(engine.stats().work.accepted, 100);
  EXPECT_LT(engine.stats().work.guessed, engine.stats().work.accepted + 10);
}

// Not only a guess that costs nothing.
TEST_F(GuessRules, DearOnesAreTriedNowAndThen) {
  class Dear : public Proposer {
   public:
    // asked: behind how many tokens
    explicit Dear(std::unique_ptr<Oracle> oracle, std::vector<size_t>* asked)
        : oracle_(std::move(oracle)), asked_(asked) {}
    void Propose(std::span<Proposal> proposals) override {
      asked_->push_back(proposals[0].completion->size());
      oracle_->Propose(proposals);
    }

    double cost() const override { return 0.1; }

   private:
    std::unique_ptr<Oracle> oracle_;
    std::vector<size_t>* asked_;
  };
  std::vector<size_t> asked;
  Engine never = NewEngine(std::make_unique<Dear>(NewOracle([](size_t) { return true; }), &asked));
  never.Generate({Long()});
  EXPECT_LT(asked.size(), 10u + 300 / 16);
  EXPECT_GT(asked.size(), 300u / 16);
  // Of the answer, wherever its prompt ends.
  for (const size_t behind : std::span(asked).subspan(10)) EXPECT_EQ(behind % 16, 0u);
  const auto early = [](size_t index) { return index < 50; };
  Engine later = NewEngine(std::make_unique<Dear>(NewOracle(early), &asked));
  later.Generate({Long()});
  EXPECT_GT(later.stats().work.accepted, 100);
}

TEST_F(GuessRules, AreFewerWhereManyShareAPass) {
  GenerationRequest request = Long();
  request.samples = 16;
  const auto good = [](size_t index) { return index % 4 == 3; };  // right in three of four
  Engine alone = NewEngine(NewOracle(good), 1), together = NewEngine(NewOracle(good), 16);
  ExpectSame(alone.Generate({request}), together.Generate({request}));
  EXPECT_GT(alone.stats().work.guessed, 16 * 100);
  EXPECT_LT(together.stats().work.guessed, 16 * 20);
}

// Each token is told by itself, with what was said until then; where the callback ends it, what was
// drawn beyond is as if it had never been.
TEST_F(GuessRules, TokensAreToldOneByOne) {
  GenerationRequest request = Long();
  request.top_logp = 1;
  Engine engine = NewEngine(NewOracle(Oracle::Never));
  std::vector<int32_t> told;
  const auto listen = [&](const Completion& so_far) {
    told.push_back(so_far.tokens.back());
    EXPECT_EQ(so_far.tokens, told);
    EXPECT_EQ(so_far.logp.size(), told.size());
    EXPECT_EQ(so_far.top.size(), told.size());
    EXPECT_EQ(so_far.finish, FinishReason::kLength);
    return told.size() < 100;
  };
  const Completion cut = engine.Generate({request}, listen).front();
  EXPECT_EQ(cut.tokens, told);
  EXPECT_EQ(cut.tokens.size(), 100u);
  EXPECT_EQ(cut.finish, FinishReason::kCancelled);
  EXPECT_EQ(engine.stats().generated_tokens, 100);
}

// Wherever in a run of right guesses it comes.
TEST_F(GuessRules, StopsAndLimitsEndARun) {
  Engine plain = NewEngine(nullptr), engine = NewEngine(NewOracle(Oracle::Never));
  const std::vector<int32_t> said = plain.Generate({Long()})[0].tokens;
  for (int64_t max_tokens = 1; max_tokens <= 30; ++max_tokens) {
    GenerationRequest request = Long();
    request.max_tokens = max_tokens;
    const Completion cut = engine.Generate({request}).front();
    EXPECT_EQ(cut.tokens, std::vector<int32_t>(said.begin(), said.begin() + max_tokens));
    EXPECT_EQ(cut.finish, FinishReason::kLength);
  }
  // The oracle does not know of the stop: it guesses on.
  Engine blind = NewEngine(std::make_unique<Blind>(NewOracle(Oracle::Never)));
  int early = 0;
  for (int32_t stop = 0; stop < 61; stop += 4) {
    GenerationRequest request = Long();
    request.stop_tokens = {stop};
    const auto listen = [&](const Completion& so_far) {
      EXPECT_EQ(so_far.finish == FinishReason::kStop, so_far.tokens.back() == stop);
      return true;
    };
    const Completion cut = blind.Generate({request}, listen).front();
    ExpectSame({cut}, plain.Generate({request}));
    early += cut.finish == FinishReason::kStop && cut.tokens.size() < 300;
    if (cut.finish == FinishReason::kStop) {
      EXPECT_EQ(std::ranges::count(cut.tokens, stop), 1);
    }
  }
  EXPECT_GT(early, 5);
}

// The cache's end or the context's.
TEST_F(GuessRules, RoomEndsARun) {
  GenerationRequest request = Long();
  request.max_tokens = 1000;
  for (const int64_t context : {150, 512}) {
    for (const int64_t capacity : {61, 62, 64, 65, 70, 200}) {
      ModelConfig config = m_.config;
      config.max_position_embeddings = context;
      const Transformer transformer(config);
      const int64_t room = std::min(context, capacity);
      Engine engine(
          transformer, weights_, {.slots = 1, .capacity = capacity, .prefill_rows = 50},
          MakeOracle(transformer, weights_, CacheForm::kExpanded, capacity, 50, Oracle::Never));
      const Completion cut = engine.Generate({request}).front();
      EXPECT_EQ(static_cast<int64_t>(request.prompt.size() + cut.tokens.size()), room);
      EXPECT_EQ(cut.finish, FinishReason::kLength);
      ExpectSame({cut}, Engine(transformer, weights_,
                               {.slots = 1, .capacity = capacity, .prefill_rows = 50})
                            .Generate({request}));
    }
  }
}

// What was computed for guesses and what a conversation goes on from.
TEST_F(GuessRules, AConversationGoesOnFromThem) {
  const auto make = [&](std::unique_ptr<Proposer> proposer) {
    return Engine(m_.transformer, weights_,
                  {.slots = 2, .capacity = 400, .prefill_rows = 50, .remember = true},
                  std::move(proposer));
  };
  Engine plain = make(nullptr), engine = make(NewOracle(Oracle::SomeTimes));
  for (const int64_t cut_at : {300, 40, 41, 42, 43, 44, 45, 46}) {
    GenerationRequest request = Long();
    request.stream = static_cast<uint64_t>(cut_at);
    request.max_tokens = 60;
    const auto keep_on = [&](const Completion& so_far) {
      return static_cast<int64_t>(so_far.tokens.size()) < cut_at;
    };
    for (int turn = 0; turn < 3; ++turn) {
      const auto expected = plain.Generate({request}, keep_on);
      const auto got = engine.Generate({request}, keep_on);
      ExpectSame(expected, got);
      EXPECT_EQ(expected[0].cached, got[0].cached);
      const std::vector<int32_t>& said = expected[0].tokens;
      request.prompt.insert(request.prompt.end(), said.begin(), said.end());
      request.prompt.push_back(turn);
    }
  }
}

TEST_F(GuessRules, LookingUpChangesNoBit) {
  // Where tokens come often, what follows two of them is likely to come again.
  GenerationRequest request = Long();
  request.sampling.temperature = 0.3f;
  request.samples = 4;
  Engine plain = NewEngine(nullptr), engine = NewEngine(std::make_unique<LookUpProposer>());
  ExpectSame(plain.Generate({request}), engine.Generate({request}));
  EXPECT_GT(engine.stats().work.accepted, 50);
  EXPECT_LT(engine.stats().work.accepted, engine.stats().work.guessed);
}

}  // namespace
}  // namespace darkhorse
