#include "infer/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/parallel.h"
#include "base/random.h"
#include "infer/packed.h"
#include "model/head.h"

namespace darkhorse {
namespace {

ModelConfig TinyConfig() {
  ModelConfig config;
  config.vocab_size = 61;
  config.hidden_size = 40;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 3;
  config.kv_lora_rank = 20;
  config.qk_nope_head_dim = 12;
  config.qk_rope_head_dim = 6;
  config.v_head_dim = 10;
  config.intermediate_size = 52;
  config.moe_intermediate_size = 24;
  config.n_routed_experts = 6;
  config.num_experts_per_tok = 2;
  config.max_position_embeddings = 512;
  config.initializer_range = 0.25;  // far from uniform predictions
  return config;
}

struct Model {
  ModelConfig config = TinyConfig();
  ParamLayout layout{config};
  std::vector<float> weights = std::vector<float>(static_cast<size_t>(layout.buffer_size()));
  Transformer transformer{config};
  Model() { InitializeWeights(config, layout, 7, weights.data()); }
  ModelWeights Bound() { return Bind(config, layout, weights.data()); }
};

std::vector<GenerationRequest> Requests(const ModelConfig& config) {
  std::vector<GenerationRequest> requests;
  const int64_t lengths[] = {1, 5, 17, 64, 130};
  for (size_t r = 0; r < 5; ++r) {
    GenerationRequest request;
    for (int64_t i = 0; i < lengths[r]; ++i) {
      const uint64_t bits = RandomBits(3, RandomStream::kTest, r, static_cast<uint64_t>(i));
      request.prompt.push_back(
          static_cast<int32_t>(bits % static_cast<uint64_t>(config.vocab_size)));
    }
    request.samples = 3;
    request.max_tokens = 40 + 30 * static_cast<int64_t>(r);
    request.seed = 11;
    request.stream = r * 100;
    request.stop_tokens = {5};
    requests.push_back(request);
  }
  return requests;
}

// Log-probabilities of a completion as training computes them: the whole document at once, `pad`
// rows of another document before it.
std::vector<float> TrainingLogp(Model& m, const GenerationRequest& request,
                                const Completion& completion, int64_t pad) {
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
  ModelWeights weights = m.Bound();
  TransformerSaved saved;
  const ConstMatrix hidden = m.transformer.Forward(weights, batch, nullptr, arena, &saved);
  std::vector<float> logp(target.size());
  HeadForward(hidden, weights.lm_head, target.data(), arena, logp.data(), nullptr);
  return {logp.end() - static_cast<int64_t>(completion.tokens.size()), logp.end()};
}

void ExpectSame(const std::vector<Completion>& a, const std::vector<Completion>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].tokens, b[i].tokens);
    ASSERT_EQ(a[i].logp.size(), b[i].logp.size());
    EXPECT_EQ(std::memcmp(a[i].logp.data(), b[i].logp.data(), a[i].logp.size() * sizeof(float)), 0);
  }
}

TEST(Engine, LogProbabilitiesAreTrainingsBitForBit) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 8, 400, 50);
  const auto completions = engine.Generate(requests);
  ASSERT_EQ(completions.size(), 15u);
  for (const Completion& completion : completions) {
    for (const int64_t pad : {0, 7}) {
      const auto logp = TrainingLogp(m, requests[completion.request], completion, pad);
      ASSERT_EQ(logp.size(), completion.logp.size());
      EXPECT_EQ(std::memcmp(logp.data(), completion.logp.data(), logp.size() * sizeof(float)), 0)
          << "request " << completion.request << " sample " << completion.sample << " pad " << pad;
    }
  }
  EXPECT_GT(engine.stats().shared_tokens, 0);
  EXPECT_EQ(engine.stats().prompt_tokens + engine.stats().shared_tokens,
            3 * (1 + 5 + 17 + 64 + 130));
}

TEST(Engine, SlotsChunksThreadsAndPackingDoNotChangeABit) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  const int threads = NumThreads();
  SetNumThreads(1);
  const auto one =
      Engine(m.transformer, weights, CacheForm::kExpanded, 1, 400, 1000).Generate(requests);
  SetNumThreads(threads > 1 ? threads : 2);
  ExpectSame(one,
             Engine(m.transformer, weights, CacheForm::kExpanded, 15, 400, 9).Generate(requests));
  const PackedWeights packed(m.config, m.layout, m.weights.data());
  ExpectSame(
      one,
      Engine(m.transformer, packed.model(), CacheForm::kExpanded, 4, 400, 64).Generate(requests));
  SetNumThreads(threads);
}

// The latent form's bits depend on which of a prompt's rows are computed together (16 and more are
// expanded), hence on prefill_rows, and on nothing else: not on the batch's other sequences, nor on
// whether a sibling computed the prompt.
TEST(Engine, LatentCacheIsOfOneSequenceOnly) {
  Model m;
  const ModelWeights weights = m.Bound();
  const auto requests = Requests(m.config);
  auto singles = requests;  // no sample waits for a sibling, so their prompts share steps
  for (GenerationRequest& request : singles) request.samples = 1;
  for (const int64_t prefill_rows : {1000, 130, 63, 20, 1}) {
    int64_t shared = 0;
    const auto generate = [&](const std::vector<GenerationRequest>& some, int64_t slots) {
      Engine engine(m.transformer, weights, CacheForm::kLatent, slots, 400, prefill_rows);
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

    // The same model: rounding apart, the same choices.
    const auto expanded = Engine(m.transformer, weights, CacheForm::kExpanded, 5, 400, prefill_rows)
                              .Generate(requests);
    for (size_t i = 0; i < alone.size(); ++i) EXPECT_EQ(alone[i].tokens, expanded[i].tokens);
  }
}

TEST(Engine, LogitsThatAreNoNumbersAreAnError) {
  Model m;
  m.Bound().norm[0] = NAN;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 5, 400);
  EXPECT_THROW(engine.Generate(Requests(m.config)), Error);
}

TEST(Engine, StopsAtStopTokensLengthAndCallback) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 8, 150, 50);
  int stopped = 0;
  for (const Completion& completion : engine.Generate(requests)) {
    const bool ends_with_stop = completion.tokens.back() == 5;
    EXPECT_EQ(completion.finish == FinishReason::kStop, ends_with_stop);
    EXPECT_EQ(std::count(completion.tokens.begin(), completion.tokens.end(), 5),
              ends_with_stop ? 1 : 0);
    const auto& request = requests[completion.request];
    const size_t room = 160 - request.prompt.size();  // the capacity is rounded up to whole panels
    if (!ends_with_stop) {
      EXPECT_EQ(completion.tokens.size(),
                std::min<size_t>(static_cast<size_t>(request.max_tokens), room));
    }
    stopped += ends_with_stop;
  }
  EXPECT_GT(stopped, 0);
  for (const Completion& completion :
       engine.Generate(requests, [](const Completion& c) { return c.tokens.size() < 3; })) {
    EXPECT_LE(completion.tokens.size(), 3u);
  }
}

TEST(Engine, StopsWhereTheModelsContextEnds) {
  Model m;
  ModelConfig config = m.config;
  config.max_position_embeddings = 150;  // ends before the cache does
  const Transformer transformer(config);
  auto requests = Requests(config);
  for (GenerationRequest& request : requests) {
    request.stop_tokens.clear();
    request.max_tokens = 1000;
  }
  const ModelWeights weights = m.Bound();
  Engine engine(transformer, weights, CacheForm::kExpanded, 8, 400, 50);
  for (const Completion& completion : engine.Generate(requests)) {
    EXPECT_EQ(completion.finish, FinishReason::kLength);
    EXPECT_EQ(requests[completion.request].prompt.size() + completion.tokens.size(), 150u);
  }
}

TEST(Engine, ACallbackThatThrowsLeavesItUsable) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 4, 400, 50);
  const auto undisturbed = engine.Generate(requests);
  int calls = 0;
  const auto throws = [&](const Completion&) {
    if (++calls == 100) throw Interruption();
    return true;
  };
  EXPECT_THROW(engine.Generate(requests, throws), Interruption);
  ExpectSame(engine.Generate(requests), undisturbed);
}

TEST(Engine, StepsAddUpToTheWork) {
  Model m;
  auto requests = Requests(m.config);
  for (GenerationRequest& request : requests) request.samples = 1;  // no row is shared
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 4, 400, 50);
  int64_t tokens = 0, attended = 0;
  for (const Completion& c : engine.Generate(requests)) {
    const auto prompt = static_cast<int64_t>(requests[c.request].prompt.size());
    const auto generated = static_cast<int64_t>(c.tokens.size());
    tokens += generated;
    // The last token is sampled and never computed.
    attended += (prompt + generated - 1) * (prompt + generated) / 2;
  }
  EngineStep sum;
  for (const EngineStep& step : engine.stats().steps) {
    sum.rows += step.rows;
    sum.sampled += step.sampled;
    sum.attended += step.attended;
  }
  EXPECT_EQ(sum.sampled, tokens);
  EXPECT_EQ(sum.rows, engine.stats().prompt_tokens + tokens - 5);
  EXPECT_EQ(sum.attended, attended);  // a row at position p attends to p + 1 tokens
}

TEST(Engine, RefusesBadPrompts) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, CacheForm::kExpanded, 2, 64);
  GenerationRequest request;
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt.assign(64, 1);
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt = {61};
  EXPECT_THROW(engine.Generate({request}), Error);
  request.prompt = {1};
  request.sampling.top_p = 0;
  EXPECT_THROW(engine.Generate({request}), UsageError);
}

}  // namespace
}  // namespace darkhorse
