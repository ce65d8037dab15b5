#include "rl/teacher.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "rl/learner_testing.h"

namespace darkhorse {
namespace {

constexpr size_t kTokens = 7;

std::vector<double> SoftMax(std::vector<double> z) {
  double sum = 0;
  for (double& x : z) sum += x = std::exp(x);
  for (double& x : z) x /= sum;
  return z;
}

// KL(p || q) of the policy with these logits.
double Divergence(const std::vector<double>& z, const std::vector<double>& q) {
  const std::vector<double> p = SoftMax(z);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] * std::log(p[i] / q[i]);
  return sum;
}

// The definition: in the mean over all tokens that the policy may say, a completion of one token
// moves the logits along the gradient of the divergence from the teacher.
TEST(TeacherLoss, ItsMeanGradientIsThatOfTheReverseDivergence) {
  RandomSequence random(5, RandomStream::kTest, 0);
  for (const std::string objective : {"clip", "cispo", "reinforce"}) {
    for (int round = 0; round < 20; ++round) {
      std::vector<double> z(kTokens), t(kTokens);
      for (size_t i = 0; i < kTokens; ++i) {
        z[i] = 2 * random.Uniform();
        t[i] = 2 * random.Uniform();
      }
      const std::vector<double> p = SoftMax(z), q = SoftMax(t);
      GrpoOptions options;
      options.objective = objective;
      const double weight = 0.5 + random.Uniform();
      std::vector<double> got(kTokens);
      double teacher_kl = 0;
      for (size_t said = 0; said < kTokens; ++said) {
        const std::vector<float> logp = {static_cast<float>(std::log(p[said]))};
        const std::vector<float> teacher = {static_cast<float>(std::log(q[said]))};
        std::vector<float> dlogp(1), dentropy(1);
        const GrpoMetrics metrics =
            GrpoSampleLoss(options, {.tokens = 1, .samples = 1, .max_tokens = 1},
                           {.logp = logp,
                            .logp_old = logp,
                            .logp_sample = logp,
                            .logp_teacher = teacher,
                            .teacher_weight = weight},
                           dlogp, dentropy);
        teacher_kl += p[said] * metrics.teacher_kl;
        for (size_t j = 0; j < kTokens; ++j)
          got[j] += p[said] * dlogp[0] * ((said == j ? 1.0 : 0.0) - p[j]);
      }
      // Logs below 4 rounded to floats, each error 2^-23 at most, in sums of weights below 2.
      constexpr double kRounding = 8 * 0x1p-23;
      EXPECT_NEAR(teacher_kl, Divergence(z, q), kRounding);
      constexpr double kStep = 1e-5;
      for (size_t j = 0; j < kTokens; ++j) {
        std::vector<double> up = z, down = z;
        up[j] += kStep;
        down[j] -= kStep;
        const double want = weight * (Divergence(up, q) - Divergence(down, q)) / (2 * kStep);
        EXPECT_NEAR(got[j], want, kRounding + 1e-8) << objective;
      }
    }
  }
}

TEST(TeacherLoss, StandsBesideTheAdvantageOfTheReward) {
  const std::vector<float> old = {-1.5f, -0.25f, -2}, teacher = {-1, -1, -2};
  std::vector<float> dlogp(3), dentropy(3);
  const GrpoMetrics metrics = GrpoSampleLoss({}, {.tokens = 4, .samples = 1, .max_tokens = 1},
                                             {.advantage = 0.5,
                                              .logp = old,
                                              .logp_old = old,
                                              .logp_sample = old,
                                              .logp_teacher = teacher,
                                              .teacher_weight = 2},
                                             dlogp, dentropy);
  // -w (A + 2 (log p_teacher - log p_old)), w = 1/4
  EXPECT_EQ(dlogp, (std::vector<float>{-0.375f, 0.25f, -0.125f}));
  EXPECT_EQ(metrics.teacher_kl, 0.25);
}

TEST(RequireSameVocabulary, NamesTheFirstTokenThatDiffers) {
  const Tokenizer one = TinyPolicyTokenizer({"odd even odd even"}),
                  other = TinyPolicyTokenizer({"left right left right"});
  RequireSameVocabulary(one, "t", one, "s");
  const std::string why = MessageOf([&] { RequireSameVocabulary(other, "t", one, "s"); });
  EXPECT_NE(why.find("t: has another vocabulary than s: token 262 is '"), std::string::npos) << why;
  EXPECT_NE(why.find("write answers for it to learn"), std::string::npos);
}

// Ids that the student has no text for are never said, so the teacher may have some there.
TEST(RequireSameVocabulary, IdsWithoutTextAreFree) {
  const std::string json = TinyPolicyTokenizer({"odd even odd even"}).ToJson();
  const auto with = [&](const std::vector<std::pair<int64_t, std::string>>& more) {
    auto tokenizer = nlohmann::ordered_json::parse(json);
    for (const auto& [id, text] : more) {
      auto token = tokenizer["added_tokens"][0];
      token["id"] = id;
      token["content"] = text;
      tokenizer["added_tokens"].push_back(token);
    }
    return Tokenizer::FromJson(tokenizer.dump(), "more");
  };
  const int64_t next = Tokenizer::FromJson(json, "json").vocab_size();
  const Tokenizer student = with({{next + 1, "<b>"}}),
                  teacher = with({{next, "<a>"}, {next + 1, "<b>"}});
  RequireSameVocabulary(teacher, "t", student, "s");
  EXPECT_NE(MessageOf([&] { RequireSameVocabulary(student, "t", teacher, "s"); }), "");
}

class TeacherTest : public LearnerTest {
 protected:
  // The base, its weights changed.
  static std::string Changed(const std::string& name) {
    TrainedModel changed(trained_->config(), {});
    for (int64_t i = 0; i < changed.layout().buffer_size(); ++i) {
      changed.mutable_weights()[i] =
          trained_->weights()[i] *
          static_cast<float>(1 +
                             0.3 * RandomNormal(9, RandomStream::kTest, static_cast<uint64_t>(i)));
    }
    const std::string directory = RunPath(name);
    ModelFiles files;
    files.tokenizer_json = tokenizer_->ToJson();
    files.tokenizer_hash = tokenizer_->hash();
    PublishCheckpoint(directory, changed.config(), changed.layout(), changed.weights(), files,
                      nullptr);
    return directory;
  }
  static ReinforceRecipe TaughtBy(const std::string& teacher) {
    ReinforceRecipe recipe = Recipe();
    recipe.rl.router_bias_gamma = 0;
    recipe.teacher.model = teacher;
    return recipe;
  }
  // Every answer is worth the same: rewards teach nothing.
  static Score Same(size_t, size_t) { return Worth(0); }
  static Score Differing(size_t, size_t sample) { return Worth(static_cast<double>(sample % 2)); }
};

TEST_F(TeacherTest, APolicyThatIsItsOwnTeacherStaysAsItIs) {
  Scripted environment({{"all", 1}}, Same);
  const ReinforceRecipe recipe = TaughtBy(Base());
  const auto learner = Make(recipe, environment);
  const std::vector<float> before = WeightsOf(*learner);
  const ReinforceMetrics metrics = learner->Step({});
  EXPECT_TRUE(metrics.trained);
  EXPECT_EQ(metrics.refills, 0);
  EXPECT_EQ(metrics.teacher_kl, 0);  // to the bit
  EXPECT_EQ(metrics.grad_norm, 0);
  EXPECT_EQ(WeightsOf(*learner), before);
}

TEST_F(TeacherTest, ThePolicyComesNearerToItsTeacherWhateverTheRewards) {
  Scripted environment({{"all", 1}}, Same);
  ReinforceRecipe recipe = TaughtBy(Changed("teacher"));
  recipe.rl.steps = 40;
  recipe.rl.prompts_per_step = 16;
  recipe.optimizer.learning_rate = 3e-3;
  const auto learner = Make(recipe, environment);
  std::vector<double> apart;
  for (int step = 0; step < 40; ++step) apart.push_back(*learner->Step({}).teacher_kl);
  const double first = std::accumulate(apart.begin(), apart.begin() + 4, 0.0) / 4,
               last = std::accumulate(apart.end() - 4, apart.end(), 0.0) / 4;
  EXPECT_GT(first, 0.05);
  EXPECT_LT(last, first / 2);
}

TEST_F(TeacherTest, RewardsCountAsMuchAsIsAsked) {
  const std::string teacher = Changed("teacher");
  const auto moved = [&](double weight, double reward_weight, auto score) {
    Scripted environment({{"all", 1}}, score);
    ReinforceRecipe recipe = TaughtBy(teacher);
    recipe.teacher.weight = weight;
    recipe.teacher.reward_weight = reward_weight;
    const auto learner = Make(recipe, environment);
    learner->Step({});
    return WeightsOf(*learner);
  };
  EXPECT_EQ(moved(1, 0, Differing), moved(1, 0, Same));
  EXPECT_NE(moved(1, 1, Differing), moved(1, 0, Same));
  EXPECT_NE(moved(2, 1, Differing), moved(1, 1, Differing));
}

// One forward pass of its own beside the policy's three, and the bytes of its weights.
TEST_F(TeacherTest, CountsInOperationsSecondsAndMemory) {
  Scripted environment({{"all", 1}}, Differing);
  const auto measured = [&](const std::string& teacher) {
    ReinforceRecipe recipe = TaughtBy(teacher);
    recipe.rl.evaluate_every = 0;
    recipe.probe.problems = 2;
    recipe.rl.minibatches = recipe.rl.inner_epochs = 1;
    const auto learner = Make(recipe, environment);
    double sampling = 0;
    learner->on_engine_step = [&](const EngineStep& pass) {
      sampling += Flops(learner->cost(), pass);
    };
    const ProbeReport report = learner->Probe({});
    const double sampled =
        static_cast<double>(recipe.rl.steps * recipe.rl.prompts_per_step * recipe.rl.group_size) *
        report.parts[0].evaluation.mean_length / report.tokens_per_second;
    return std::tuple((report.seconds - sampled) * report.training_flops_per_second,
                      report.memory_bytes, learner->Step({}).flops - sampling);
  };
  const auto [alone, alone_bytes, alone_step] = measured("");
  const auto [taught, taught_bytes, taught_step] = measured(Base());
  EXPECT_NEAR(taught / alone, 4.0 / 3, 1e-6);
  EXPECT_NEAR(taught_step / alone_step, 4.0 / 3, 1e-6);
  EXPECT_EQ(taught_bytes - alone_bytes, Teacher::Bytes(Base()));
}

TEST_F(TeacherTest, ARunRecordsItsTeacherAndResumesExactly) {
  ReinforceRecipe recipe = TaughtBy(Changed("teacher"));
  recipe.probe.problems = 4;  // it looks at rewards, of which this run makes nothing
  Run(recipe, "whole");
  EXPECT_FALSE(FileExists(RunPath("whole") + "/probe.json"));
  Run(recipe, "parts", false, StopAfter(3));
  Run(recipe, "parts", true);
  for (const char* file : {"metrics.jsonl", "checkpoints/step-00000007/model.safetensors"})
    EXPECT_TRUE(ReadFile(RunPath("parts") + "/" + file) == ReadFile(RunPath("whole") + "/" + file))
        << file;
  EXPECT_NE(ReadFile(RunPath("whole") + "/metrics.jsonl").find("\"teacher_kl\":"),
            std::string::npos);
  const std::string weights = recipe.teacher.model + "/model.safetensors";
  std::string bytes = ReadFile(weights);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  WriteFileAtomically(weights, bytes);
  std::filesystem::remove(recipe.teacher.model + "/checksums.json");
  ExpectMessage(MessageOf([&] { Run(recipe, "parts", true); }), {"another teacher"});
}

TEST_F(TeacherTest, OneWhoseContextIsTooShortSaysSo) {
  ModelConfig config = trained_->config();
  config.max_position_embeddings = 1;
  const std::string teacher = Publish("short", config, tokenizer_->ToJson());
  Scripted environment({{"all", 1}}, Same);
  const ReinforceRecipe recipe = TaughtBy(teacher);
  const auto learner = Make(recipe, environment);
  ExpectMessage(MessageOf([&] { learner->Step({}); }),
                {"short: the teacher's context holds 1 tokens", "lower rl.max_tokens"});
}

TEST_F(TeacherTest, OneOfAnotherVocabularyIsRefused) {
  const std::string other =
      Publish("foreign", trained_->config(), TinyPolicyTokenizer({"left right"}).ToJson());
  Scripted environment({{"all", 1}}, Same);
  ExpectMessage(MessageOf([&] { Make(TaughtBy(other), environment); }),
                {"foreign: has another vocabulary than", "base: token "});
}

}  // namespace
}  // namespace darkhorse
