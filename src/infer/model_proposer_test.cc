#include "infer/model_proposer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "infer/draw.h"
#include "infer/engine_testing.h"
#include "kernel/linear.h"
#include "model/packed_weights.h"

namespace darkhorse {
namespace {

constexpr int64_t kCapacity = 200;

// What was guessed, and behind what.
struct Heard {
  GenerationRequest request;
  int64_t sample;
  std::vector<int32_t> completion, guess;
};

// Hands on to another, and remembers. As what it guesses seems to cost nothing, it is asked behind
// every token, and for three at least.
class Listening : public Proposer {
 public:
  Listening(std::unique_ptr<Proposer> other, std::vector<Heard>* heard)
      : other_(std::move(other)), heard_(heard) {}
  void Propose(std::span<Proposal> proposals) override {
    std::vector<int64_t> asked;
    for (Proposal& proposal : proposals) {
      asked.push_back(proposal.most);
      proposal.most = std::max<int64_t>(proposal.most, 3);
    }
    other_->Propose(proposals);
    for (size_t i = 0; i < proposals.size(); ++i) {
      Proposal& proposal = proposals[i];
      heard_->push_back(
          {*proposal.request, proposal.sample, *proposal.completion, proposal.tokens});
      proposal.tokens.resize(std::min(proposal.tokens.size(), static_cast<size_t>(asked[i])));
    }
  }
  void Begun(int64_t slot, int64_t from, int64_t tokens) override {
    other_->Begun(slot, from, tokens);
  }
  void Computed(int64_t slot, int64_t position, ConstMatrix hidden,
                std::span<const int32_t> next) override {
    other_->Computed(slot, position, hidden, next);
  }

 private:
  std::unique_ptr<Proposer> other_;
  std::vector<Heard>* heard_;
};

std::vector<GenerationRequest> Various(const ModelConfig& config) {
  std::vector<GenerationRequest> requests = Requests(config);
  for (GenerationRequest& request : requests) {
    request.samples = 2;
    request.max_tokens = 40;
  }
  requests[0].sampling.temperature = 0;
  requests[2].sampling = {.temperature = 0.7f, .top_k = 20, .top_p = 0.9f};
  requests[3].sampling = {.repetition_penalty = 1.3f, .presence_penalty = 0.5f};
  requests[3].stop_tokens.clear();
  requests[4].logit_bias = {{7, 2.0f}, {60, 1.0f}};
  requests[4].never = std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{1, 60});
  return requests;
}

ModelConfig WithModule(ModelConfig config) {
  config.num_nextn_predict_layers = 1;
  return config;
}

// A model that guesses for itself is always right, whatever the sampling: the guess is drawn at the
// same random number.
TEST(DraftProposer, OfTheModelItselfIsRight) {
  Model m;
  const ModelWeights weights = m.Bound();
  const auto requests = Various(m.config);
  const auto expected =
      Engine(m.transformer, weights, {.slots = 1, .capacity = kCapacity}).Generate(requests);
  for (const int64_t slots : {1, 3}) {
    std::vector<Heard> heard;
    Engine engine(m.transformer, weights,
                  {.slots = slots, .capacity = kCapacity, .prefill_rows = 50, .remember = true},
                  std::make_unique<Listening>(
                      std::make_unique<DraftProposer>(m.transformer, weights, m.transformer,
                                                      CacheForm::kExpanded, slots, kCapacity),
                      &heard));
    ExpectSame(expected, engine.Generate(requests));
    // But for what was guessed behind a stop.
    EXPECT_GT(engine.stats().work.accepted, 100);
    EXPECT_GT(engine.stats().work.accepted, engine.stats().work.guessed - 10 * Proposer::kMost);
    EXPECT_EQ(
        DraftProposer(m.transformer, weights, m.transformer, CacheForm::kExpanded, 1, 20).cost(),
        1);
  }
}

// Fewer or more tokens than the model has, another context, other widths.
TEST(DraftProposer, OfAnotherModelChangesNoBit) {
  Model m;
  const ModelWeights weights = m.Bound();
  auto requests = Various(m.config);
  requests[2].sampling.temperature = 3;  // every token comes
  for (GenerationRequest& request : requests) {
    for (int32_t& token : request.prompt) token %= 40;
  }
  const auto expected =
      Engine(m.transformer, weights, {.slots = 1, .capacity = kCapacity}).Generate(requests);
  for (const auto& [vocabulary, context] :
       {std::pair<int64_t, int64_t>{61, 512}, {40, 512}, {90, 512}, {61, 60}}) {
    ModelConfig config = SmallGroupedConfig();
    config.vocab_size = vocabulary;
    config.max_position_embeddings = context;
    Model draft(config);
    const ModelWeights draft_weights = draft.Bound();
    std::vector<Heard> heard;
    Engine engine(m.transformer, weights, {.slots = 2, .capacity = kCapacity, .prefill_rows = 50},
                  std::make_unique<Listening>(std::make_unique<DraftProposer>(
                                                  draft.transformer, draft_weights, m.transformer,
                                                  CacheForm::kExpanded, 2, kCapacity),
                                              &heard));
    ExpectSame(expected, engine.Generate(requests));
    size_t guessed = 0;
    for (const Heard& one : heard) {
      guessed += one.guess.size();
      for (const int32_t token : one.guess) EXPECT_LT(token, std::min<int64_t>(vocabulary, 61));
      const auto size = static_cast<int64_t>(one.request.prompt.size() + one.completion.size());
      if (size >= context) {
        EXPECT_TRUE(one.guess.empty());
      }
    }
    EXPECT_GT(guessed, 5u);
  }
}

// A draft's guesses are those of an engine that runs the draft, after whatever else it guessed.
TEST(DraftProposer, GuessesWhatTheDraftWouldSay) {
  Model m, draft(SmallGroupedConfig());
  const ModelWeights weights = m.Bound(), draft_weights = draft.Bound();
  std::vector<Heard> heard;
  auto requests = Various(m.config);
  for (GenerationRequest& request : requests) request.samples = 1;
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = kCapacity, .prefill_rows = 50},
                std::make_unique<Listening>(
                    std::make_unique<DraftProposer>(draft.transformer, draft_weights, m.transformer,
                                                    CacheForm::kExpanded, 2, kCapacity),
                    &heard));
  engine.Generate(requests);
  Engine speaks(draft.transformer, draft_weights, {.slots = 1, .capacity = kCapacity});
  int compared = 0;
  for (const Heard& one : heard) {
    if (one.request.sampling.penalizes() || one.request.sampling.temperature > 0) continue;
    GenerationRequest goes_on = one.request;  // greedy: no random numbers
    goes_on.prompt.insert(goes_on.prompt.end(), one.completion.begin(), one.completion.end());
    goes_on.max_tokens = static_cast<int64_t>(one.guess.size());
    goes_on.stop_tokens.clear();
    EXPECT_EQ(speaks.Generate({goes_on}).front().tokens, one.guess);
    ++compared;
  }
  EXPECT_GT(compared, 5);
}

struct Case {
  const char* name;
  bool grouped;
  Format format;
  CacheForm form;
};
class Module : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    MtpProposer, Module,
    testing::Values(Case{"Expanded", false, Format::kF32, CacheForm::kExpanded},
                    Case{"Latent", false, Format::kF32, CacheForm::kLatent},
                    Case{"LatentQ8", false, Format::kQ8, CacheForm::kLatent},
                    Case{"GroupedBf16", true, Format::kBf16, CacheForm::kExpanded}),
    [](const auto& of) { return std::string(of.param.name); });

TEST_P(Module, ChangesNoBit) {
  const auto [name, grouped, format, form] = GetParam();
  Model m(WithModule(grouped ? SmallGroupedConfig() : SmallConfig()));
  const PackedWeights packed(m.config, m.layout, m.weights.data(), format);
  auto requests = Various(m.config);
  requests.push_back(requests[3]);  // which begins with what is remembered
  requests.back().prompt.resize(50);
  const auto expected =
      Engine(m.transformer, packed.model(),
             {.form = form, .slots = 1, .capacity = kCapacity, .prefill_rows = 20})
          .Generate(requests);
  for (const int64_t slots : {1, 3}) {
    std::vector<Heard> heard;
    Engine engine(
        m.transformer, packed.model(),
        {.form = form, .slots = slots, .capacity = kCapacity, .prefill_rows = 20, .remember = true},
        std::make_unique<Listening>(
            std::make_unique<MtpProposer>(m.transformer, packed.model(), form, slots, kCapacity),
            &heard));
    ExpectSame(expected, engine.Generate(requests));
    EXPECT_GT(heard.size(), 100u);
    EXPECT_GT(engine.stats().shared_tokens, 0);
  }
}

// A guess is what the module says as it was trained: over the whole text at once, and for further
// tokens on its own states.
TEST(MtpProposer, GuessesWhatTheTrainedModuleSays) {
  Model m(WithModule(SmallConfig()));
  const ModelWeights weights = m.Bound();
  const auto requests = Various(m.config);  // whose samples share their prompts
  std::vector<Heard> heard;
  Engine engine(
      m.transformer, weights, {.slots = 2, .capacity = kCapacity, .prefill_rows = 20},
      std::make_unique<Listening>(
          std::make_unique<MtpProposer>(m.transformer, weights, CacheForm::kExpanded, 2, kCapacity),
          &heard));
  engine.Generate(requests);
  int second = 0;
  for (const Heard& one : heard) {
    std::vector<int32_t> text = one.request.prompt;
    text.insert(text.end(), one.completion.begin(), one.completion.end());
    std::vector<int32_t> said = one.completion;
    // States of the model, and from the text's end on the module's own.
    Arena arena;
    TokenBatch batch;
    batch.tokens.assign(text.begin(), text.end() - 1);
    batch.segments = {{0, batch.rows(), 0, -1}};
    TransformerSaved saved;
    const ConstMatrix hidden = m.transformer.Forward(weights, batch, nullptr, arena, &saved);
    std::vector<float> states(hidden.data, hidden.data + hidden.size());
    std::vector<int32_t> next(text.begin() + 1, text.end());
    for (const int32_t guess : one.guess) {
      const auto rows = static_cast<int64_t>(next.size());
      TokenBatch behind;
      behind.tokens = next;
      behind.segments = {{0, rows, 0, -1}};
      const PassContext pass{m.config, m.transformer.rope().table(rows),
                             behind,   RowPositions(behind, m.config, arena),
                             nullptr,  arena,
                             nullptr};
      MtpSaved module;
      module.next = next;
      MtpForward(pass, weights, 0, ConstMatrix(states.data(), rows, hidden.cols), &module);
      const ConstMatrix last = module.out.Rows(rows - 1, 1);
      const Matrix logits = arena.NewMatrix(1, m.config.vocab_size);
      const Matrix scratch = arena.NewMatrix(1, m.config.vocab_size);
      LinearForward(last, weights.lm_head, logits);
      EXPECT_EQ(guess, Draw(one.request, one.sample, said, nullptr, logits, scratch)->token);
      said.push_back(guess);
      next.push_back(guess);
      states.insert(states.end(), last.data, last.data + last.cols);
      second += said.size() == one.completion.size() + 2;
    }
  }
  EXPECT_GT(heard.size(), 50u);
  EXPECT_GT(second, 0);
}

// A module whose logits are no numbers guesses nothing.
TEST(MtpProposer, ABrokenModuleDoesNoHarm) {
  Model m(WithModule(SmallConfig()));
  const ModelWeights weights = m.Bound();
  const auto requests = Various(m.config);
  const auto expected =
      Engine(m.transformer, weights, {.slots = 1, .capacity = kCapacity}).Generate(requests);
  weights.mtp[0].norm[0] = std::numeric_limits<float>::quiet_NaN();
  Engine engine(
      m.transformer, weights, {.slots = 1, .capacity = kCapacity, .prefill_rows = 50},
      std::make_unique<MtpProposer>(m.transformer, weights, CacheForm::kExpanded, 1, kCapacity));
  ExpectSame(expected, engine.Generate(requests));
  EXPECT_EQ(engine.stats().work.guessed, 0);
}

}  // namespace
}  // namespace darkhorse
