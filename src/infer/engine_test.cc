#include "infer/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "infer/engine_testing.h"
#include "kernel/linear.h"
#include "kernel/ops.h"
#include "model/cost.h"
#include "model/head.h"
#include "model/packed_weights.h"

namespace darkhorse {
namespace {

// Log-probabilities of a completion as training computes them: the whole document at once, `pad`
// rows of another document before it. `logits`, if given: those each token was drawn from, a row
// per token.
std::vector<float> TrainingLogp(Model& m, const GenerationRequest& request,
                                const Completion& completion, int64_t pad,
                                std::vector<std::vector<float>>* logits = nullptr,
                                Format format = Format::kF32) {
  TokenBatch batch;
  std::vector<int32_t> target;
  if (pad > 0) {
    batch.segments.push_back({0, pad, 0, -1});
    batch.tokens.assign(static_cast<size_t>(pad), 3);
    target.assign(static_cast<size_t>(pad), -1);
  }
  std::vector<int32_t> document = request.prompt;
  document.insert(document.end(), completion.tokens.begin(), completion.tokens.end());
  const int64_t rows = static_cast<int64_t>(document.size()) - 1;
  batch.segments.push_back({pad, rows, 0, -1});
  batch.tokens.insert(batch.tokens.end(), document.begin(), document.end() - 1);
  for (size_t i = 1; i < document.size(); ++i)
    target.push_back(i >= request.prompt.size() ? document[i] : -1);
  Arena arena;
  ModelWeights weights = m.Bound(format);
  TransformerSaved saved;
  const ConstMatrix hidden = m.transformer.Forward(weights, batch, nullptr, arena, &saved);
  std::vector<float> logp(target.size());
  HeadForward(hidden, weights.lm_head, target.data(), arena, logp.data(), nullptr);
  if (logits) {
    const auto count = static_cast<int64_t>(completion.tokens.size());
    const Matrix all = arena.NewMatrix(count, m.config.vocab_size);
    LinearForward(hidden.Rows(hidden.rows - count, count), weights.lm_head, all);
    for (int64_t row = 0; row < count; ++row)
      logits->emplace_back(all.Row(row), all.Row(row) + all.cols);
  }
  return {logp.end() - static_cast<int64_t>(completion.tokens.size()), logp.end()};
}

class EngineFormats : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Formats, EngineFormats, testing::Values(Format::kF32, Format::kBf16));

TEST_P(EngineFormats, LogProbabilitiesAreTrainingsBitForBit) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound(GetParam());
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  const auto completions = engine.Generate(requests);
  ASSERT_EQ(completions.size(), 15u);
  for (const Completion& completion : completions) {
    for (const int64_t pad : {0, 7}) {
      const auto logp =
          TrainingLogp(m, requests[completion.request], completion, pad, nullptr, GetParam());
      ASSERT_EQ(logp.size(), completion.logp.size());
      EXPECT_EQ(std::memcmp(logp.data(), completion.logp.data(), logp.size() * sizeof(float)), 0)
          << "request " << completion.request << " sample " << completion.sample << " pad " << pad;
    }
  }
  EXPECT_GT(engine.stats().shared_tokens, 0);
  EXPECT_EQ(engine.stats().prompt_tokens + engine.stats().shared_tokens,
            3 * (1 + 5 + 17 + 64 + 130));
}

TEST_P(EngineFormats, SlotsChunksThreadsAndPackingDoNotChangeABit) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound(GetParam());
  const int threads = NumThreads();
  SetNumThreads(1);
  const auto one =
      Engine(m.transformer, weights, {.slots = 1, .capacity = 400, .prefill_rows = 1000})
          .Generate(requests);
  SetNumThreads(threads > 1 ? threads : 2);
  ExpectSame(one, Engine(m.transformer, weights, {.slots = 15, .capacity = 400, .prefill_rows = 9})
                      .Generate(requests));
  const PackedWeights packed(m.config, m.layout, m.weights.data(), GetParam());
  ExpectSame(
      one, Engine(m.transformer, packed.model(), {.slots = 4, .capacity = 400, .prefill_rows = 64})
               .Generate(requests));
  SetNumThreads(threads);
}

// Whatever the weights' format, and whichever the cache: the latent one reads slices of a matrix
// that has no integers of its own.
TEST(Engine, IntegerWeightsDependOnNoOtherSequence) {
  Model m;
  const auto requests = Requests(m.config);
  const PackedWeights f32(m.config, m.layout, m.weights.data());
  for (const Format format : {Format::kQ8, Format::kQ4}) {
    const PackedWeights packed(m.config, m.layout, m.weights.data(), format);
    for (const CacheForm form : {CacheForm::kExpanded, CacheForm::kLatent}) {
      const auto generate = [&](const PackedWeights& weights, int64_t slots) {
        return Engine(m.transformer, weights.model(),
                      {.form = form, .slots = slots, .capacity = 400, .prefill_rows = 1000})
            .Generate(requests);
      };
      const auto one = generate(packed, 1);
      ExpectSame(one, generate(packed, 15));
      EXPECT_NE(one.back().logp, generate(f32, 1).back().logp);
    }
  }
}

// Log-probabilities of a completion, computed with a latent cache that holds nothing else: the
// prompt's first chunk, the rest of the document but its last token in chunks of so many rows.
std::vector<float> LatentLogp(Model& m, const GenerationRequest& request,
                              const Completion& completion, int64_t prefill_rows, int64_t then) {
  KvCache cache(m.config, CacheForm::kLatent, 1, 400);
  const ModelWeights weights = m.Bound();
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  std::vector<int32_t> document = request.prompt;
  document.insert(document.end(), completion.tokens.begin(), completion.tokens.end());
  std::vector<float> logp;
  const auto end = static_cast<int64_t>(document.size()) - 1;
  for (int64_t at = 0; at < end;) {
    const int64_t rows =
        at == 0 ? std::clamp<int64_t>(prompt - 1, 1, prefill_rows) : std::min(end - at, then);
    TokenBatch batch;
    batch.segments.push_back({0, rows, at, 0});
    batch.tokens.assign(document.begin() + at, document.begin() + at + rows);
    Arena arena;
    const ConstMatrix hidden = m.transformer.Forward(weights, batch, &cache, arena, nullptr);
    for (int64_t row = 0; row < rows; ++row) {
      ++at;
      if (at < prompt) continue;
      HeadForward(hidden.Rows(row, 1), weights.lm_head, &document[static_cast<size_t>(at)], arena,
                  &logp.emplace_back(), nullptr);
    }
  }
  return logp;
}

// The latent form's bits depend on which of a prompt's rows are computed first (16 and more are
// expanded), hence on prefill_rows, and on nothing else: not on the chunks behind them, on the
// batch's other sequences, nor on whether a sibling computed the prompt.
TEST(Engine, LatentCacheIsOfOneSequenceOnly) {
  Model m;
  const ModelWeights weights = m.Bound();
  const auto requests = Requests(m.config);
  auto singles = requests;  // no sample waits for a sibling, so their prompts share steps
  for (GenerationRequest& request : singles) request.samples = 1;
  for (const int64_t prefill_rows : {1000, 130, 63, 20, 1}) {
    int64_t shared = 0;
    const auto generate = [&](const std::vector<GenerationRequest>& some, int64_t slots) {
      Engine engine(m.transformer, weights,
                    {.form = CacheForm::kLatent,
                     .slots = slots,
                     .capacity = 400,
                     .prefill_rows = prefill_rows});
      auto completions = engine.Generate(some);
      shared = engine.stats().shared_tokens;
      return completions;
    };
    // One at a time; then in one step some prompts are expanded, others absorbed, others go on.
    const auto alone = generate(requests, 1);
    EXPECT_EQ(shared, 0);
    ExpectSame(alone, generate(requests, 2));
    ExpectSame(alone, generate(requests, 5));
    ExpectSame(alone, generate(requests, 15));
    EXPECT_GT(shared, 0);
    ExpectSame(generate(singles, 1), generate(singles, 5));

    // And they are the model's.
    for (const Completion& completion : alone) {
      for (const int64_t then : {1, 17, 400}) {
        const auto logp =
            LatentLogp(m, requests[completion.request], completion, prefill_rows, then);
        ASSERT_EQ(logp.size(), completion.logp.size());
        EXPECT_EQ(std::memcmp(logp.data(), completion.logp.data(), logp.size() * sizeof(float)), 0)
            << "request " << completion.request << " sample " << completion.sample << ", " << then
            << " rows at once";
      }
    }
  }
}

TEST(Engine, LogitsThatAreNoNumbersAreAnError) {
  Model m;
  m.Bound().norm[0] = NAN;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 5, .capacity = 400});
  EXPECT_THROW(engine.Generate(Requests(m.config)), Error);
}

TEST(Engine, LogitsOfAnySequenceThatAreNoNumbersAreAnError) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 5, .capacity = 400});
  GenerationRequest sound, spoilt;
  sound.prompt = {1, 2, 3};
  sound.max_tokens = 1;
  sound.sampling.temperature = 0;
  spoilt = sound;
  spoilt.prompt = {7};
  weights.embed_tokens.w(7, 0) = NAN;
  EXPECT_EQ(engine.Generate({sound, sound}).size(), 2u);
  EXPECT_THROW(engine.Generate({sound, spoilt}), Error);
}

TEST(Engine, StepsAddUpToTheWork) {
  Model m;
  auto requests = Requests(m.config);
  for (GenerationRequest& request : requests) request.samples = 1;  // no row is shared
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 4, .capacity = 400, .prefill_rows = 50});
  int64_t tokens = 0, attended = 0;
  EngineStep sum;
  const auto add = [&](const EngineStep& step) { sum += step; };
  for (const Completion& c : engine.Generate(requests, {}, add)) {
    const auto prompt = static_cast<int64_t>(requests[c.request].prompt.size());
    const auto generated = static_cast<int64_t>(c.tokens.size());
    tokens += generated;
    // The last token is sampled and never computed.
    attended += (prompt + generated - 1) * (prompt + generated) / 2;
  }
  EXPECT_EQ(engine.stats().prompt_tokens, 1 + 5 + 17 + 64 + 130);
  EXPECT_EQ(engine.stats().generated_tokens, tokens);
  EXPECT_EQ(sum.sampled, tokens);
  EXPECT_EQ(sum.rows, engine.stats().prompt_tokens + tokens - 5);
  EXPECT_EQ(sum.attended, attended);  // a row at position p attends to p + 1 tokens
  const EngineStep& work = engine.stats().work;
  EXPECT_EQ(work.rows, sum.rows);
  EXPECT_EQ(work.sampled, sum.sampled);
  EXPECT_EQ(work.attended, sum.attended);
  EXPECT_EQ(work.cached, sum.cached);
  engine.Generate(requests);  // counted on
  EXPECT_EQ(engine.stats().generated_tokens, 2 * tokens);
  EXPECT_EQ(engine.stats().work.cached, 2 * sum.cached);
}

TEST(Engine, EachStepIsReportedAsItWas) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = 400, .prefill_rows = 50});
  GenerationRequest request;
  request.prompt.assign(130, 3);
  request.max_tokens = 3;
  std::vector<std::vector<int64_t>> steps;
  // Its tokens are told after it.
  const auto on_token = [&](const Completion& c) {
    EXPECT_EQ(steps.size(), 2 + c.tokens.size());
    return true;
  };
  engine.Generate({request}, on_token, [&](const EngineStep& s) {
    steps.push_back({s.rows, s.sampled, s.attended, s.cached});
  });
  const std::vector<std::vector<int64_t>> expected = {{50, 0, 50 * 51 / 2, 50},
                                                      {50, 0, 50 * 50 + 50 * 51 / 2, 100},
                                                      {30, 1, 30 * 100 + 30 * 31 / 2, 130},
                                                      {1, 1, 131, 131},
                                                      {1, 1, 132, 132}};
  EXPECT_EQ(steps, expected);

  // Two prompts share the room for prompt rows; a row that decodes needs none of it.
  GenerationRequest other = request;
  request.prompt.resize(30);
  other.prompt.resize(70);
  steps.clear();
  engine.Generate({request, other}, {}, [&](const EngineStep& s) {
    steps.push_back({s.rows, s.sampled, s.attended, s.cached});
  });
  const std::vector<std::vector<int64_t>> shared = {{50, 1, 30 * 31 / 2 + 20 * 21 / 2, 30 + 20},
                                                    {51, 2, 31 + 50 * 20 + 50 * 51 / 2, 31 + 70},
                                                    {2, 2, 32 + 71, 32 + 71},
                                                    {1, 1, 72, 72}};
  EXPECT_EQ(steps, shared);
}

TEST(Engine, FlopsOfStepsAreThoseOfTheirSum) {
  ModelConfig config = SmallConfig();
  config.n_routed_experts = 4;  // half of them are visited, so that all below is exact
  const ModelCost cost(config);
  const EngineStep decoding{8, 8, 80, 80}, prefill{24, 0, 240, 240};
  EXPECT_EQ(Flops(cost, decoding), 8 * cost.ForwardFlopsPerToken(10));
  const double head = 2.0 * 61 * 40;
  EXPECT_EQ(Flops(cost, prefill), 24 * (cost.ForwardFlopsPerToken(10) - head));
  EngineStep both = decoding;
  both += prefill;
  EXPECT_EQ(both.rows, 32);
  EXPECT_EQ(both.sampled, 8);
  EXPECT_EQ(both.attended, 320);
  EXPECT_EQ(both.cached, 320);
  EXPECT_EQ(Flops(cost, both), Flops(cost, decoding) + Flops(cost, prefill));
  EXPECT_EQ(Flops(cost, EngineStep{}), 0);
}

// Token n of sample i is what the sampler takes at the random number (seed, stream + i, n) of the
// model's distribution, whatever the parameters; what is recorded of it is its log-probability
// before temperature and cuts.
TEST(Engine, EachTokenIsDrawnAtItsOwnRandomNumber) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  const SamplingParams all[] = {{},
                                {.temperature = 0.6f},
                                {.temperature = 3},
                                {.temperature = 0},
                                {.temperature = 1.5f, .top_k = 9, .top_p = 0.8f, .min_p = 0.05f}};
  for (const SamplingParams& params : all) {
    auto requests = Requests(m.config);
    for (GenerationRequest& request : requests) request.sampling = params;
    for (const Completion& c : engine.Generate(requests)) {
      const GenerationRequest& request = requests[c.request];
      std::vector<std::vector<float>> logits;
      const auto logp = TrainingLogp(m, request, c, 0, &logits);
      ASSERT_EQ(logp.size(), c.logp.size());
      EXPECT_EQ(std::memcmp(logp.data(), c.logp.data(), logp.size() * sizeof(float)), 0);
      for (size_t n = 0; n < c.tokens.size(); ++n) {
        std::vector<float>& row = logits[n];
        if (params.temperature > 0) {
          for (float& logit : row) logit *= 1 / params.temperature;
        }
        const Matrix p(row.data(), 1, m.config.vocab_size);
        SoftmaxRows(p, p);
        const double u = RandomUniform(request.seed, RandomStream::kSample,
                                       request.stream + static_cast<uint64_t>(c.sample), n);
        EXPECT_EQ(c.tokens[n], SampleToken(row, params, u)) << "temperature " << params.temperature;
      }
    }
  }
}

// A bias moves what is drawn, by the whole of it; what is told of a token stays the model's own.
TEST(Engine, BiasesMoveWhatIsDrawnAndNothingThatIsTold) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  auto requests = Requests(m.config);
  for (GenerationRequest& request : requests) {
    request.logit_bias = {{7, 1000.0f}, {9, 900.0f}};
    request.stop_tokens.clear();
    request.max_tokens = 10;
  }
  for (const Completion& c : engine.Generate(requests)) {
    EXPECT_EQ(c.tokens, std::vector<int32_t>(10, 7));
    const auto logp = TrainingLogp(m, requests[c.request], c, 0);
    EXPECT_EQ(std::memcmp(logp.data(), c.logp.data(), logp.size() * sizeof(float)), 0);
  }
  requests[0].logit_bias = {{61, 1.0f}};
  EXPECT_THROW(engine.Check(requests[0]), Error);
}

// A token once said is never said again where that costs everything.
TEST(Engine, PenaltiesSeeThePromptAndTheCompletion) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  auto requests = Requests(m.config);
  requests.resize(3);
  for (GenerationRequest& request : requests) {
    request.sampling = {.temperature = 0, .presence_penalty = 100};
    request.stop_tokens.clear();
    request.max_tokens = 30;
  }
  const auto distinct = [](std::vector<int32_t> tokens) {
    std::sort(tokens.begin(), tokens.end());
    return std::unique(tokens.begin(), tokens.end()) - tokens.begin();
  };
  for (const Completion& c : engine.Generate(requests)) EXPECT_EQ(distinct(c.tokens), 30);
  // With logits of both signs only the prompt's tokens can tell this from no penalty at one token.
  for (GenerationRequest& request : requests) request.max_tokens = 1;
  const auto first = [&](float repetition) {
    std::vector<int32_t> tokens;
    for (GenerationRequest& request : requests)
      request.sampling = {.temperature = 0, .repetition_penalty = repetition};
    for (const Completion& c : engine.Generate(requests)) tokens.push_back(c.tokens[0]);
    return tokens;
  };
  EXPECT_NE(first(1), first(0.01f));
}

TEST(Engine, TheMostProbableTokensAreToldWhereAskedFor) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  auto requests = Requests(m.config);
  for (GenerationRequest& request : requests) {
    request.top_logp = 4;
    request.sampling.temperature = 0.7f;
  }
  requests[1].top_logp = 0;
  requests[2].top_logp = 1000;
  for (const Completion& c : engine.Generate(requests)) {
    if (c.request == 1) {
      EXPECT_TRUE(c.top.empty());
      continue;
    }
    ASSERT_EQ(c.top.size(), c.tokens.size());
    std::vector<std::vector<float>> logits;
    TrainingLogp(m, requests[c.request], c, 0, &logits);
    for (size_t n = 0; n < c.tokens.size(); ++n) {
      const std::vector<TokenLogp>& top = c.top[n];
      ASSERT_EQ(top.size(), c.request == 2 ? 61u : 4u);
      const Matrix p(logits[n].data(), 1, m.config.vocab_size);
      SoftmaxRows(p, p);
      for (size_t i = 0; i < top.size(); ++i) {
        EXPECT_NEAR(top[i].logp, std::log(p.data[top[i].token]), 1e-4);
        EXPECT_GE(top[i == 0 ? 0 : i - 1].logp, top[i].logp);
        if (top[i].token == c.tokens[n]) {
          EXPECT_EQ(top[i].logp, c.logp[n]);
        }
      }
      EXPECT_EQ(p.data[top[0].token], *std::max_element(p.data, p.data + p.cols));
    }
  }
}

TEST(Engine, OfEqualLogitsTheLowerIdIsToldFirst) {
  Model m;
  for (const ParamInfo& param : m.layout.params()) {
    if (param.name == "lm_head.weight")
      std::fill_n(m.weights.begin() + param.offset, param.size, 0.0f);
  }
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 1, .capacity = 400, .prefill_rows = 50});
  GenerationRequest request = Requests(m.config)[1];
  request.samples = 1;
  request.max_tokens = 1;
  request.top_logp = 3;
  const Completion completion = engine.Generate({request}).front();
  for (int32_t i = 0; i < 3; ++i)
    EXPECT_EQ(completion.top.at(0).at(static_cast<size_t>(i)).token, i);
}

TEST(SeparateStreams, NoTwoSamplesShareOne) {
  std::vector<GenerationRequest> requests(4);
  for (size_t r = 0; r < 4; ++r) requests[r].samples = static_cast<int64_t>(3 - r);
  SeparateStreams(requests, 10);
  EXPECT_EQ(requests[0].stream, 10u);
  EXPECT_EQ(requests[1].stream, 13u);
  EXPECT_EQ(requests[2].stream, 15u);
  EXPECT_EQ(requests[3].stream, 16u);
  SeparateStreams(requests);
  EXPECT_EQ(requests[0].stream, 0u);
}

TEST(Engine, RefusesBadPrompts) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = 64});
  GenerationRequest request;
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt.assign(64, 1);
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt = {61};
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt = {-1};
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt = {1};
  request.sampling.top_p = 0;
  EXPECT_THROW(engine.Generate({request}), UsageError);
  EXPECT_THROW(engine.Submit(request), UsageError);
  // What no pass could compute is not queued.
  request.sampling = {};
  for (const int32_t token : {-1, 61}) {
    request.prompt = {1, token, 1};
    EXPECT_THROW(engine.Submit(request), Error);
    EXPECT_TRUE(engine.idle());
  }
  request.prompt = {60};
  // Of several the bad one is named, and none begins.
  request.sampling = {};
  GenerationRequest empty = request;
  empty.prompt.clear();
  try {
    engine.Generate({request, empty});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("prompt 2:"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.stats().work.rows, 0);
}

}  // namespace
}  // namespace darkhorse
