#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "infer/constraint_testing.h"
#include "infer/engine.h"
#include "infer/engine_testing.h"
#include "infer/oracle_testing.h"

namespace darkhorse {
namespace {

// Texts of the small model's tokens; 5 stops, and the last ones have none.
std::vector<std::string> Texts() {
  std::vector<std::string> texts = {"[", "]", ",", "\"", "<", "", ">", "],", "[\"", "\"]", "],["};
  while (texts.size() < 58)
    texts.push_back(std::string(1 + texts.size() % 3, static_cast<char>('a' + texts.size() % 26)));
  return texts;
}

std::shared_ptr<const TokenConstraint> Constraint(std::string begun = "") {
  static const std::vector<std::string> texts = Texts();
  return std::make_shared<const TokenConstraint>(TokenConstraint{
      std::make_shared<TokenGrammar>(
          std::make_shared<TokenTree>(std::vector<std::string_view>(texts.begin(), texts.end())),
          SmallLanguage()),
      std::move(begun)});
}

std::string Said(const Completion& completion) {
  static const std::vector<std::string> texts = Texts();
  std::string said;
  for (const int32_t token : completion.tokens) said += texts.at(static_cast<size_t>(token));
  return said;
}

ByteGrammarReader::State After(ByteGrammarReader& reader, const std::string& text) {
  auto state = reader.Start();
  for (const char byte : text) state = reader.Next(state, static_cast<uint8_t>(byte));
  return state;
}

TEST(EngineConstraint, CompletionsAreOfTheLanguage) {
  const Model model;
  const ModelWeights weights = const_cast<Model&>(model).Bound();
  for (const float temperature : {0.0f, 1.0f, 3.0f}) {
    std::vector<GenerationRequest> requests = Requests(model.config);
    for (size_t r = 0; r < requests.size(); ++r) {
      requests[r].sampling.temperature = temperature;
      requests[r].sampling.top_p = r % 2 == 0 ? 1.0f : 0.9f;
      requests[r].logit_bias = {{0, -2.0f}};  // lists end
      if (r != 1) requests[r].constraint = Constraint(r == 2 ? "[\"ab" : "");
    }
    Engine engine(model.transformer, weights, {.slots = 4, .capacity = 400});
    ByteGrammarReader reader(SmallLanguage());
    int stopped = 0;
    for (const Completion& completion : engine.Generate(requests)) {
      if (completion.request == 1) continue;
      const std::string said = (completion.request == 2 ? "[\"ab" : "") + Said(completion);
      const auto state = After(reader, said);
      EXPECT_NE(state, ByteGrammarReader::kDead) << said;
      EXPECT_EQ(completion.tokens.back() == 5, completion.finish == FinishReason::kStop);
      if (completion.finish != FinishReason::kStop) continue;
      EXPECT_TRUE(reader.MayEnd(state)) << said;
      ++stopped;
    }
    EXPECT_GT(stopped, 0);

    // Those beside them are what they are alone.
    std::vector<GenerationRequest> free = {requests[1]}, constrained = {requests[3]};
    std::vector<Completion> all = engine.Generate(requests);
    std::vector<Completion> first(all.begin() + 3, all.begin() + 6),
        third(all.begin() + 9, all.begin() + 12);
    ExpectSame(engine.Generate(free), first);
    ExpectSame(engine.Generate(constrained), third);
  }
}

TEST(EngineConstraint, ACompletionWithoutAnyTokenThatMayComeEnds) {
  const Model model;
  const ModelWeights weights = const_cast<Model&>(model).Bound();
  Engine engine(model.transformer, weights, {.slots = 2, .capacity = 100});
  std::vector<GenerationRequest> requests(1, Requests(model.config)[1]);
  requests[0].constraint = Constraint("x");  // not of the language
  for (const Completion& completion : engine.Generate(requests)) {
    EXPECT_TRUE(completion.tokens.empty());
    EXPECT_EQ(completion.finish, FinishReason::kLength);
  }
  requests[0].constraint = Constraint("[]");  // which is all there is to say
  for (const Completion& completion : engine.Generate(requests)) {
    EXPECT_EQ(completion.tokens, std::vector<int32_t>{5});
    EXPECT_EQ(completion.finish, FinishReason::kStop);
  }
  requests[0].stop_tokens = {};
  EXPECT_THROW(engine.Generate(requests), Error);
}

// Also where guesses are not of the language.
TEST(EngineConstraint, GuessesChangeNoBit) {
  const Model model;
  const ModelWeights weights = const_cast<Model&>(model).Bound();
  std::vector<GenerationRequest> requests = Requests(model.config);
  for (size_t r = 0; r < requests.size(); ++r) {
    requests[r].sampling.temperature = r % 2 == 0 ? 1.0f : 0.0f;
    requests[r].logit_bias = {{0, -2.0f}};
    requests[r].constraint = Constraint(r == 2 ? "[\"ab" : "");
  }
  Engine plain(model.transformer, weights, {.slots = 1, .capacity = 400});
  Engine engine(model.transformer, weights, {.slots = 2, .capacity = 400},
                MakeOracle(model.transformer, weights, CacheForm::kExpanded, 400, 1024));
  ExpectSame(plain.Generate(requests), engine.Generate(requests));
  EXPECT_GT(engine.stats().work.accepted, 50);
  EXPECT_GT(engine.stats().work.guessed, engine.stats().work.accepted);
}

// One sequence's mask has read on by the time that the logits of another turn out to be no numbers.
TEST(EngineConstraint, AStepThatFailsLeavesTheMasksAsTheyWere) {
  Model model;
  ModelWeights weights = model.Bound();
  std::vector<GenerationRequest> requests(2, Requests(model.config)[3]);
  requests[0].constraint = Constraint();
  requests[0].sampling.temperature = 3;
  requests[0].logit_bias = {{5, -1000.0f}};
  requests[1].stop_tokens.clear();
  for (GenerationRequest& request : requests) request.samples = 1;
  Engine plain(model.transformer, weights, {.slots = 1, .capacity = 400});
  const std::vector<Completion> expected = plain.Generate(requests);
  for (const bool guesses : {false, true}) {
    Engine engine(model.transformer, weights, {.slots = 2, .capacity = 400},
                  guesses ? MakeOracle(model.transformer, weights, CacheForm::kExpanded, 400, 1024)
                          : nullptr);
    std::map<RequestId, Completion> ended;
    int32_t last = -1;  // of the second
    const EngineSink sink = {
        .on_token =
            [&](const Completion& so_far) {
              if (so_far.request == 1) last = so_far.tokens.back();
              return true;
            },
        .on_finished = [&](Completion completion) { ended[completion.request] = completion; },
        .on_step = {}};
    for (const GenerationRequest& request : requests) engine.Submit(request);
    int failed = 0;
    for (int step = 0; engine.Step(sink); ++step) {
      if (step % 3 != 0 || ended.contains(1)) continue;
      const float sound = std::exchange(weights.embed_tokens.w(last, 0), std::nanf(""));
      EXPECT_THROW(engine.Step(sink), Error);
      weights.embed_tokens.w(last, 0) = sound;
      ++failed;
    }
    EXPECT_GT(failed, 5);
    ExpectSame(expected, {ended.at(0), ended.at(1)});
  }
}

}  // namespace
}  // namespace darkhorse
