#include "app/example_question.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(ExampleQuestion, IsOfTheTaskOfTheRunAroundTheCheckpoint) {
  ScratchDirectory scratch;
  const auto folder = [&](const std::string& name) {
    std::filesystem::create_directories(scratch / name);
    return scratch / name;
  };
  const std::string reinforced = folder("run/reinforced/checkpoints/step-1");
  const std::string base = folder("run/base/checkpoints/step-1");
  EXPECT_EQ(ExampleQuestion(reinforced), "");
  scratch.Write(
      "run/recipe.toml",
      "[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.rl]\ntasks = [\"parity:2\"]\n");
  EXPECT_TRUE(ExampleQuestion(base).starts_with("parity ")) << ExampleQuestion(base);
  EXPECT_EQ(ExampleQuestion(base).find('\n'), std::string::npos);
  EXPECT_EQ(ExampleQuestion(scratch / "run"), "");  // the recipe lies above a model
  // The nearer recipe tells what the model was last trained on; one of pretraining tells nothing.
  scratch.Write("run/reinforced/recipe.toml", "[rl]\ntasks = [\"sum:1\"]\n");
  scratch.Write("run/base/recipe.toml", "[train]\nsteps = 3\n");
  EXPECT_TRUE(ExampleQuestion(reinforced).starts_with("sum ")) << ExampleQuestion(reinforced);
  EXPECT_TRUE(ExampleQuestion(base).starts_with("parity "));
  scratch.Write("run/recipe.toml", "not a recipe");
  EXPECT_EQ(ExampleQuestion(base), "");
}

}  // namespace
}  // namespace darkhorse
