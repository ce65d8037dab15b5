// Learners that train an adapter.
#include <filesystem>

#include "checkpoint/adapter_folder.h"
#include "rl/learner_testing.h"

namespace darkhorse {
namespace {

class LearnerAdapterTest : public LearnerTest {
 protected:
  static ReinforceRecipe Adapted(const std::string& weights, const std::string& precision = "f32") {
    ReinforceRecipe recipe = Still();
    recipe.adapter.kind = "lora";
    recipe.adapter.rank = 4;
    recipe.adapter.weights = weights;
    recipe.rl.precision = precision;
    recipe.optimizer.learning_rate = 1e-2;
    recipe.optimizer.epsilon = 1e-8;
    return recipe;
  }
  std::vector<float> ValuesOf(Learner& learner) {
    const std::string directory = RunPath("values") + std::to_string(published_++);
    learner.PublishModel(directory);
    const auto source = OpenModel(directory);
    std::vector<float> values(static_cast<size_t>(source->adapter()->layout().buffer_size()));
    source->adapter()->ReadValues(values.data());
    return values;
  }

 private:
  int published_ = 0;
};

// Of a base in integers too: the log-probability of a sampled token is the one that training
// computes for it, before and after the adapter has moved.
TEST_F(LearnerAdapterTest, SamplingIsTrainingBitForBitOnAQuantisedBase) {
  for (const auto& [weights, precision, dora] : {std::tuple("f32", "f32", false),
                                                 {"bf16", "bf16", false},
                                                 {"q8", "f32", false},
                                                 {"q4", "f32", false},
                                                 {"q8", "bf16", false},
                                                 {"f32", "f32", true},
                                                 {"bf16", "bf16", true},
                                                 {"q4", "f32", true}}) {
    SCOPED_TRACE(std::string(weights) + " " + precision + (dora ? " dora" : ""));
    ReinforceRecipe recipe = Adapted(weights, precision);
    recipe.adapter.dora = dora;
    Scripted environment({{"all", 1}}, ByPlace);
    const std::unique_ptr<Learner> learner = Make(recipe, environment);
    const std::vector<float> before = ValuesOf(*learner);
    for (int step = 0; step < 3; ++step) {
      const ReinforceMetrics metrics = learner->Step({});
      ASSERT_TRUE(metrics.trained);
      EXPECT_EQ(metrics.sampling_gap, 0) << "step " << step;
    }
    const std::vector<float> after = ValuesOf(*learner);
    EXPECT_NE(after, before);
    if (!dora) continue;
    // Magnitudes among what has moved.
    const std::string directory = RunPath(std::string("dora-") + weights);
    learner->PublishModel(directory);
    const auto source = OpenModel(directory);
    EXPECT_TRUE(source->adapter()->files().dora);
    for (const ParamInfo& param : source->adapter()->layout().params()) {
      if (param.shape.size() != 1 || param.expert >= 0) continue;
      const auto begin = static_cast<size_t>(param.offset);
      EXPECT_NE(after[begin], before[begin]) << param.name;
    }
  }
}

// Recomputing activations changes no bit of a run.
TEST_F(LearnerAdapterTest, RecomputingChangesNoBit) {
  ReinforceRecipe recipe = Adapted("q8");
  std::vector<std::vector<float>> values;
  for (const char* recompute : {"no", "yes", "auto"}) {
    recipe.rl.recompute = recompute;
    Scripted environment({{"all", 1}}, ByPlace);
    const std::unique_ptr<Learner> learner = Make(recipe, environment);
    learner->Step({});
    values.push_back(ValuesOf(*learner));
  }
  EXPECT_EQ(values[0], values[1]);
  EXPECT_EQ(values[0], values[2]);
}

// The base is the reference: of the first step nothing differs from it, of the second all does.
TEST_F(LearnerAdapterTest, WithoutTheAdapterItIsTheReference) {
  ReinforceRecipe recipe = Adapted("q8");
  recipe.grpo.kl_beta = 0.1;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  EXPECT_EQ(learner->Step({}).kl, 0);
  EXPECT_GT(learner->Step({}).kl, 0);
}

// An adapter trained further is the one that was there, at the rank it has; its base's bytes are
// nowhere written.
TEST_F(LearnerAdapterTest, AnAdapterGoesOn) {
  ReinforceRecipe recipe = Adapted("f32");
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  learner->Step({});
  const std::string directory = RunPath("first");
  learner->PublishModel(directory);
  EXPECT_FALSE(std::filesystem::exists(directory + "/model.safetensors"));
  recipe.adapter.kind = "auto";
  recipe.adapter.rank = AdapterOptions().rank;
  Scripted again({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> second = Of(recipe, directory, again);
  EXPECT_EQ(ValuesOf(*second), ValuesOf(*learner));
  EXPECT_EQ(second->Step({}).sampling_gap, 0);
  // All weights of it: the two in one.
  recipe.adapter.kind = "none";
  recipe.adapter.weights = "auto";
  Scripted third({{"all", 1}}, ByPlace);
  EXPECT_EQ(WeightsOf(*Of(recipe, directory, third)), [&] {
    std::vector<float> merged(static_cast<size_t>(trained_->layout().buffer_size()));
    ReadWeights(*OpenModel(directory), trained_->layout(), merged.data());
    return merged;
  }());
}

TEST_F(LearnerAdapterTest, OfThisProgramsModelsAllWeightsAreTrained) {
  ReinforceRecipe recipe = Adapted("auto");
  recipe.adapter.kind = "auto";
  recipe.adapter.rank = AdapterOptions().rank;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::string directory = RunPath("auto");
  Make(recipe, environment)->PublishModel(directory);
  EXPECT_FALSE(IsAdapterFolder(directory));
  recipe.adapter.weights = "q8";
  ExpectMessage(MessageOf([&] { Make(recipe, environment); }),
                {"adapter.weights is 'q8'", "set adapter.kind to lora"});
  recipe.adapter.weights = "auto";
  recipe.adapter.dora = true;
  ExpectMessage(MessageOf([&] { Make(recipe, environment); }),
                {"adapter.dora is 'true'", "set adapter.kind to lora"});
}

TEST_F(LearnerAdapterTest, ARunWithAnAdapterGoesOnExactly) {
  ReinforceRecipe recipe = FullRecipe();
  recipe.adapter.kind = "lora";
  recipe.adapter.rank = 2;
  recipe.adapter.weights = "q8";
  recipe.adapter.dora = true;
  recipe.optimizer.moments = "bf16";
  recipe.rl.router_bias_gamma = 0;
  recipe.optimizer.learning_rate = 1e-2;
  EXPECT_TRUE(Run(recipe, "whole").finished);
  Run(recipe, "cut", false, StopAfter(3));
  EXPECT_TRUE(Run(recipe, "cut", true).finished);
  for (const char* file :
       {"metrics.jsonl", "samples.jsonl", "checkpoints/step-00000007/adapter_model.safetensors",
        "checkpoints/step-00000007/optimizer.safetensors",
        "checkpoints/step-00000007/trainer_state.json"}) {
    EXPECT_EQ(ReadFile(RunPath("whole") + "/" + file), ReadFile(RunPath("cut") + "/" + file))
        << file;
  }
}

// Another run from an adapter records the shape that it has, and refuses another.
TEST_F(LearnerAdapterTest, ARunFromAnAdapterRecordsItsShape) {
  ReinforceRecipe recipe = FullRecipe();
  recipe.adapter.kind = "lora";
  recipe.adapter.rank = 2;
  recipe.rl.router_bias_gamma = 0;
  recipe.rl.steps = 1;
  const std::string adapter = Run(recipe, "first").checkpoint;
  recipe.adapter = {};
  std::string notes;
  const ReinforceCallbacks callbacks = {
      .on_note = [&](const std::string& note) { notes += note + "\n"; }};
  EXPECT_TRUE(Reinforce(recipe, adapter, RunPath("second"), false, callbacks).finished);
  ExpectMessage(notes, {"goes on as it is: rank 2, alpha 32, dora false, targets all\n"});
  ReinforceRecipe recorded;
  ParseToml(ReadFile(RunPath("second") + "/recipe.toml"), "recipe.toml", FieldsOf(recorded));
  EXPECT_EQ(recorded.adapter.rank, 2);
  recipe.adapter.rank = 8;
  recipe.probe.problems = 2;
  ExpectMessage(MessageOf([&] { ProbeModel(recipe, adapter, {}); }),
                {"adapter.rank is '8'", "goes on as it is: rank 2"});
}

TEST_F(LearnerAdapterTest, AFrozenRoutersBiasesAreNotMoved) {
  ReinforceRecipe recipe = Adapted("f32");
  recipe.rl.router_bias_gamma = 1e-3;
  Scripted environment({{"all", 1}}, ByPlace);
  try {
    Make(recipe, environment);
    FAIL();
  } catch (const UsageError& error) {
    ExpectMessage(error.what(), {"rl.router_bias_gamma", "adapter"});
  }
}

TEST_F(LearnerAdapterTest, ActivationsBeyondHalfTheMemoryAreRecomputed) {
  const TrainingStart start(Base(), {}, Format::kF32);
  const int64_t kept = ModelCost(start.config()).Training(4096).activations;
  const auto fit = [&](int64_t memory, const std::string& recompute) {
    setenv("DARKHORSE_MEMORY", std::to_string(memory).c_str(), 1);
    const Activations activations = start.Fit({.micro_batch_tokens = 4096}, recompute);
    unsetenv("DARKHORSE_MEMORY");
    return activations;
  };
  EXPECT_EQ(fit(2 * kept, "auto"), Activations::kKept);
  EXPECT_EQ(fit(2 * kept - 2, "auto"), Activations::kRecomputed);
  EXPECT_EQ(fit(2 * kept - 2, "no"), Activations::kKept);
  EXPECT_EQ(fit(2 * kept, "yes"), Activations::kRecomputed);
}

TEST_F(LearnerAdapterTest, ARunTooLargeForTheMachineIsRefused) {
  const ReinforceRecipe recipe = Adapted("q8");
  Scripted environment({{"all", 1}}, ByPlace);
  setenv("DARKHORSE_MEMORY", "100000", 1);
  const std::string message = MessageOf([&] { Make(recipe, environment); });
  unsetenv("DARKHORSE_MEMORY");
  ExpectMessage(message, {"training an adapter of", "micro_batch_tokens"});
}

TEST_F(LearnerAdapterTest, ATeacherThatTakesMostIsWhatToChange) {
  AdapterOptions adapter;
  adapter.kind = "lora";
  const TrainingStart start(Base(), adapter, Format::kF32);
  ExpectMessage(MessageOf([&] { start.Fit({.micro_batch_tokens = 1, .beside = 1e18}, "no"); }),
                {"training an adapter of", "beside a teacher of", "choose a smaller teacher"});
}

// What a run holds beside the model that it trains: the reference of its KL term, its teacher.
TEST_F(LearnerAdapterTest, WhatStaysBesideTheTrainingCounts) {
  ReinforceRecipe recipe = Adapted("q8");
  Scripted environment({{"all", 1}}, ByPlace);
  // The least memory that From takes.
  const auto least = [&] {
    int64_t refused = 1, enough = int64_t{1} << 32;
    while (enough - refused > 1) {
      const int64_t memory = (refused + enough) / 2;
      setenv("DARKHORSE_MEMORY", std::to_string(memory).c_str(), 1);
      (MessageOf([&] { Make(recipe, environment); }).empty() ? enough : refused) = memory;
      unsetenv("DARKHORSE_MEMORY");
    }
    return enough;
  };
  const int64_t alone = least();
  recipe.grpo.kl_beta = 0.1;
  const int64_t with_reference = least();
  const auto values = ValuesOf(*Make(recipe, environment));
  EXPECT_EQ(with_reference - alone, static_cast<int64_t>(values.size() * sizeof(float)));
  recipe.teacher.model = Base();
  EXPECT_EQ(least() - with_reference, Teacher::Bytes(Base()));
}

}  // namespace
}  // namespace darkhorse
