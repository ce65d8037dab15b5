#include "pipeline/distil.h"

#include <gtest/gtest.h>

#include "base/fields_testing.h"
#include "rl/tiny_run_testing.h"

namespace darkhorse {
namespace {

class DistilTest : public ReinforceTest {
 protected:
  static DistilRecipe Recipe() {
    DistilRecipe recipe;
    SampleOptions& sample = recipe.sampling.sample;
    sample.tasks = {"parity:1"};
    sample.problems = 24;
    sample.samples = 4;
    sample.max_tokens = 14;
    recipe.finetuning.finetune.steps = 4;
    recipe.finetuning.finetune.samples_per_step = 4;
    recipe.finetuning.finetune.checkpoint_every = 2;
    return recipe;
  }
  static DistilResult Run(const DistilRecipe& recipe, const std::string& name,
                          const DistilCallbacks& callbacks = {}) {
    return Distil(recipe, Base(), Base(), RunPath(name), callbacks);
  }
};

TEST(DistilRecipe, HasTheSectionsOfBoth) {
  DistilRecipe recipe;
  const FieldList fields = FieldsOf(recipe);
  for (const char* section : {"sample", "problems", "prompt", "finetune", "adapter", "optimizer"})
    EXPECT_TRUE(fields.IsSection(section)) << section;
}

TEST_F(DistilTest, TheStudentLearnsWhatWasRight) {
  const DistilResult result = Run(Recipe(), "run");
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.sampling.chats, RunPath("run") + "/samples/chats.jsonl");
  EXPECT_TRUE(FileExists(RunPath("run") + "/student/checkpoints/step-00000004"));
  EXPECT_LT(result.finetuning.best_loss, result.finetuning.start_loss);
}

TEST_F(DistilTest, WhatIsThereIsKeptAndWhatWasStoppedGoesOn) {
  Run(Recipe(), "whole");
  EXPECT_FALSE(Run(Recipe(), "parts", {.sampling = {.stop = [] { return true; }}}).finished);
  bool begun = false;
  const DistilResult part =
      Run(Recipe(), "parts",
          {.finetuning = {.on_step = [&](const StepMetrics&) { begun = true; },
                          .stop = [&] { return begun; }}});
  EXPECT_TRUE(part.sampling.finished);
  EXPECT_FALSE(part.finished);
  EXPECT_TRUE(Run(Recipe(), "parts").finished);
  EXPECT_TRUE(Run(Recipe(), "parts").finished);
  for (const char* file : {"samples/chats.jsonl", "samples/README.md", "student/metrics.jsonl",
                           "student/checkpoints/step-00000004/model.safetensors"})
    EXPECT_TRUE(ReadFile(RunPath("parts") + "/" + file) == ReadFile(RunPath("whole") + "/" + file))
        << file;
}

TEST_F(DistilTest, NothingRightIsNothingToLearn) {
  DistilRecipe recipe = Recipe();
  recipe.sampling.sample.min_length = 1000;
  ExpectMessage(MessageOf([&] { Run(recipe, "none"); }),
                {"samples: none of the answers of", "(96)", "nothing to learn"});
  EXPECT_FALSE(FileExists(RunPath("none") + "/student"));
}

}  // namespace
}  // namespace darkhorse
