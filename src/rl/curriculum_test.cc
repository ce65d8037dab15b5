#include "rl/curriculum.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

const std::vector<MixturePart> kParts = {{"parity:1", 1}, {"gcd:1", 3}, {"gcd:2", 2}};

TEST(CurriculumTest, FavoursSuccessNearOneHalfAndForgetsNoPart) {
  CurriculumOptions options;
  options.by_success = true;
  options.floor = 0.25;
  const std::vector<double> weights = CurriculumWeights(options, kParts, {0.5, 0, 0.75});
  // 0.25 + 0.75 * 4 p (1 - p): 1, 1/4 and 13/16 of the recipe's weights, exact in binary.
  EXPECT_EQ(weights, (std::vector<double>{1, 0.75, 2 * 0.8125}));
  EXPECT_EQ(CurriculumWeights(options, kParts, {1, 1, 1}), (std::vector<double>{0.25, 0.75, 0.5}));
  options.by_success = false;
  EXPECT_EQ(CurriculumWeights(options, kParts, {0.5, 0, 0.75}), (std::vector<double>{1, 3, 2}));
}

TEST(CurriculumTest, SuccessIsARunningMeanOfThePartsDrawn) {
  CurriculumOptions options;
  options.rate = 0.25;
  PartSuccess success = {0.5, 0.5, 0.5};
  const std::vector<PartOutcome> outcomes = {{8, 8}, {0, 0}, {4, 1}};
  UpdateSuccess(options, outcomes, success);
  EXPECT_EQ(success, (PartSuccess{0.625, 0.5, 0.4375}));
}

TEST(CurriculumTest, DrawsPartsByTheirWeights) {
  const std::vector<double> weights = {1, 0, 3};
  std::vector<int> drawn(3);
  constexpr int kDraws = 4000;
  for (uint64_t i = 0; i < kDraws; ++i) ++drawn[DrawPart(weights, 5, i)];
  EXPECT_EQ(drawn[1], 0);
  // Binomial(4000, 1/4): deviation 27.4; six of them.
  EXPECT_NEAR(drawn[0], 1000, 165);
}

TEST(CurriculumTest, AMixturesOwnWeightsDrawItsProblems) {
  const auto environment = MakeTaskEnvironment({"parity:1", "gcd:2=3"});
  const std::vector<MixturePart> parts = environment->Parts();
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[1].name, "gcd:2");
  EXPECT_EQ(parts[1].weight, 3);
  const std::vector<double> weights = {1, 3};
  for (uint64_t i = 0; i < 50; ++i) {
    const size_t part = DrawPart(weights, 7, i);
    const Problem problem = environment->TrainingProblem(7, i);
    EXPECT_EQ(problem.task, part == 0 ? "parity" : "gcd");
    EXPECT_EQ(problem.prompt, environment->TrainingProblemOf(part, 7, i).prompt);
  }
}

TEST(CurriculumTest, RefusesWhatIsNoShare) {
  for (const double value : {0.0, -1.0, 1.5, 0.0 / 0.0}) {
    CurriculumOptions options;
    options.floor = value;
    EXPECT_NE(MessageOf([&] { Validate(options); }).find("curriculum.floor is"), std::string::npos);
    options = {};
    options.rate = value;
    EXPECT_NE(MessageOf([&] { Validate(options); }).find("curriculum.rate is"), std::string::npos);
  }
}

}  // namespace
}  // namespace darkhorse
