// Rounds at once are rounds one after the other, to the bit.
#include "rl/sampling_rounds.h"

#include <algorithm>

#include "rl/learner_testing.h"
#include "rl/log.h"

namespace darkhorse {
namespace {

// Parity problems whose scores follow from what was said; wordy ones have longer prompts.
class Judged : public Environment {
 public:
  Judged(bool at_once, bool wordy) : at_once_(at_once), wordy_(wordy) {}
  std::vector<MixturePart> Parts() const override { return {{"a", 1}, {"b", 2}}; }
  Problem TrainingProblemOf(size_t part, uint64_t, uint64_t index) override {
    most_drawn = std::max(most_drawn, index);
    Problem problem = MakeProblem(FindTask("parity"), 1, 3 + index, 1, Split::kTrain);
    if (wordy_ && index % 5 == 4)
      problem.prompt = std::string(8 * (index / 5 + 1), '1') + problem.prompt;
    problem.answer = std::to_string(part);
    return problem;
  }
  std::vector<std::vector<Problem>> HeldOut(int64_t) const override { return {}; }
  bool ScoresAtOnce() const override { return at_once_; }
  std::vector<Score> ScoreAll(std::span<const Answer> answers, const StopRequest& stop) override {
    LeaveIfAsked(stop);
    ++calls;
    std::vector<Score> scores;
    for (const Answer& answer : answers) {
      const uint64_t lot = StableHash(std::string(answer.completion) + answer.problem->prompt);
      // Whole groups are right, or cannot be scored.
      const bool alike = StableHash(answer.problem->prompt) % 3 == 0;
      scores.push_back(alike && lot % 4 == 0 ? Unscored() : Worth(alike || lot % 5 == 0 ? 1 : 0));
    }
    return scores;
  }

  int calls = 0;
  uint64_t most_drawn = 0;

 private:
  const bool at_once_, wordy_;
};

class SamplingRoundsTest : public LearnerTest {
 protected:
  struct Told {
    std::vector<std::string> lines;
    std::vector<float> weights;
    RunProgress progress;
    int64_t refills = 0;
    int calls = 0;
    bool operator==(const Told& other) const {
      return lines == other.lines && weights == other.weights &&
             progress.next_problem == other.progress.next_problem &&
             progress.generated == other.progress.generated &&
             progress.success == other.progress.success && refills == other.refills;
    }
  };
  Told Of(const ReinforceRecipe& recipe, bool at_once, bool wordy) {
    Judged environment(at_once, wordy);
    // Of wordy problems some need a larger engine than the ones before.
    ModelConfig config = trained_->config();
    if (wordy) config.max_position_embeddings = 512;
    const std::unique_ptr<Learner> learner = LearnerTest::Of(
        recipe, Publish(wordy ? "wordy" : "terse", config, tokenizer_->ToJson()), environment);
    Told told;
    for (int step = 0; step < 4; ++step) {
      const ReinforceMetrics metrics = learner->Step({});
      const StepLines lines = DescribeStep(metrics, true);
      told.lines.push_back(JsonLine(lines.metrics) + JsonLine(lines.sample));
      told.refills += metrics.refills;
    }
    told.weights = WeightsOf(*learner);
    told.progress = learner->progress();
    told.calls = environment.calls;
    return told;
  }
};

TEST_F(SamplingRoundsTest, AtOnceIsOneAfterTheOtherWhateverTheSlots) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.prompts_per_step = 6;
  recipe.rl.group_size = 4;
  recipe.rl.max_refills = 3;
  recipe.rl.max_tokens = 12;
  recipe.rl.mask_truncated = true;
  recipe.curriculum.by_success = true;
  for (const bool wordy : {false, true}) {
    const Told sequential = Of(recipe, false, wordy);
    EXPECT_GT(sequential.refills, 4);
    for (const int64_t slots : {3, 8, 256}) {
      recipe.rl.slots = slots;
      const Told at_once = Of(recipe, true, wordy);
      EXPECT_TRUE(at_once == sequential) << slots << " " << wordy;
      EXPECT_GT(at_once.calls, sequential.calls);
    }
    recipe.rl.random_rewards = true;
    EXPECT_TRUE(Of(recipe, true, wordy) == Of(recipe, false, wordy));
    recipe.rl.random_rewards = false;
  }
}

TEST_F(SamplingRoundsTest, ARoundBeginsBeforeTheOneBeforeItHasEnded) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.prompts_per_step = 6;
  recipe.rl.group_size = 4;
  recipe.rl.max_refills = 1;
  recipe.rl.max_tokens = 40;
  const auto passes = [&](bool at_once) {
    Judged environment(at_once, false);
    const std::unique_ptr<Learner> learner = Make(recipe, environment);
    int64_t count = 0;
    learner->on_engine_step = [&](const EngineStep&) { ++count; };
    for (int step = 0; step < 3; ++step) learner->Step({});
    return count;
  };
  EXPECT_LT(passes(true), passes(false));
}

TEST_F(SamplingRoundsTest, AStepThatIsStoppedCanBeMadeAgain) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.max_refills = 2;
  Judged environment(true, false), other(true, false);
  const std::unique_ptr<Learner> learner = Make(recipe, environment), whole = Make(recipe, other);
  for (const int allowed : {1, 30, 60}) {
    int asked = 0;
    EXPECT_THROW(learner->Step([&] { return asked++ >= allowed; }), Interruption);
  }
  EXPECT_EQ(JsonLine(DescribeStep(learner->Step({}), true).metrics),
            JsonLine(DescribeStep(whole->Step({}), true).metrics));
}

}  // namespace
}  // namespace darkhorse
