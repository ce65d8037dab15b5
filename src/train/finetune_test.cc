#include "train/finetune.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "checkpoint/config_json.h"
#include "checkpoint/model_source.h"
#include "checkpoint/run_directory.h"
#include "model/head.h"
#include "train/finetune_data.h"
#include "train/finetune_testing.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

TEST_F(FinetuneTest, LearnsToAnswerAndTheModelCanBeAsked) {
  std::string notes;
  FinetuneCallbacks callbacks = Notes(&notes);
  int64_t planned = 0;
  double start = 0;
  callbacks.on_plan = [&](int64_t steps) { planned = steps; };
  callbacks.on_start = [&](double loss) { start = loss; };
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 40;
  const FinetuneResult result = Train(recipe, "run", false, callbacks);
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(planned, 40);
  EXPECT_EQ(start, result.start_loss);
  EXPECT_NEAR(result.start_loss, std::log(259.0), 0.3);
  EXPECT_LT(result.last.validation_loss, 0.6 * result.start_loss);
  EXPECT_LE(result.best_loss, result.last.validation_loss);
  EXPECT_EQ(result.best_checkpoint, Run("run") + "/best");
  std::istringstream lines(Bytes("run", "metrics.jsonl"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(line, fmt::format(R"({{"step": 0, "tokens": 0, "validation_loss": {}}})", start));
  for (const std::string& folder : {result.checkpoint, result.best_checkpoint}) {
    const auto source = OpenModel(folder);
    EXPECT_NE(source->ReadChatFormat().chat_template, "");
    EXPECT_EQ(source->ReadTokenizer().hash(), OpenModel(model_)->ReadTokenizer().hash());
    EXPECT_EQ(StopTokens(source->TextConfig(source->ReadTokenizer())),
              (std::vector<int32_t>{kEos, kEnd}));
  }
  EXPECT_NE(notes.find("turns end with <|im_end|>, at which the model did not stop so far"),
            std::string::npos)
      << notes;
  EXPECT_NE(notes.find("60 chats: "), std::string::npos) << notes;
}

// The loss of a step is one mean over the tokens learned, whatever is computed at once, and no
// sample sees another.
TEST_F(FinetuneTest, TheLossIsTheMeanOverTheTokensLearned) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.epochs = 1;
  recipe.finetune.steps = 0;
  recipe.finetune.held_out_share = 0;
  recipe.finetune.samples_per_step = 60;
  const auto source = OpenModel(model_);
  const Tokenizer tokenizer = source->ReadTokenizer();
  const ModelConfig config = source->TextConfig(tokenizer);
  TrainedModel base(config, {});
  ReadWeights(*source, base.layout(), base.mutable_weights());
  // Each chat alone, by its text: what stands behind the prompt.
  double sum = 0;
  int64_t count = 0;
  Arena arena;
  for (int i = 0; i < 60; ++i) {
    const std::string word(static_cast<size_t>(1 + i % 3), static_cast<char>('a' + i % 20));
    const std::vector<int32_t> prompt = tokenizer.Encode(
        fmt::format("<|im_start|>user\n{} {}<|im_end|>\n<|im_start|>assistant\n", word, i));
    std::vector<int32_t> tokens = prompt;
    for (const int32_t id : tokenizer.Encode(fmt::format("{0} {0}<|im_end|>", word)))
      tokens.push_back(id);
    TokenBatch batch;
    batch.tokens.assign(tokens.begin(), tokens.end() - 1);
    batch.segments = {{0, batch.rows(), 0, -1}};
    const std::vector<int32_t> next(tokens.begin() + 1, tokens.end());
    std::vector<float> logp(next.size());
    ArenaScope scope(arena);
    const ConstMatrix hidden =
        base.model().Forward(base.bound_weights(), batch, nullptr, arena, nullptr);
    HeadForward(hidden, base.bound_weights().lm_head, next.data(), arena, logp.data(), nullptr);
    for (size_t t = prompt.size() - 1; t < next.size(); ++t) sum -= logp[t], ++count;
  }
  for (const int64_t at_once : {1, 100, 4096}) {
    recipe.finetune.micro_batch_tokens = at_once;
    const FinetuneResult result = Train(recipe, fmt::format("at-{}", at_once));
    EXPECT_EQ(result.last.step, 1);
    EXPECT_NEAR(result.last.loss, sum / static_cast<double>(count), 1e-5) << at_once;
    EXPECT_EQ(result.start_loss, -1);
    EXPECT_EQ(result.best_checkpoint, "");
  }
}

TEST_F(FinetuneTest, ResumedRunEndsInTheSameBytes) {
  for (const char* precision : {"f32", "bf16"}) {
    FinetuneRecipe recipe = Recipe();
    recipe.finetune.precision = recipe.optimizer.moments = precision;
    const std::string whole = std::string("whole-") + precision,
                      parts = std::string("parts-") + precision;
    EXPECT_TRUE(Train(recipe, whole).finished);
    for (const int64_t stop_after : {5, 11, 16}) {
      int64_t step = 0;
      EXPECT_FALSE(Train(recipe, parts, true,
                         {.on_step = [&](const StepMetrics& m) { step = m.step; },
                          .stop = [&] { return step >= stop_after; }})
                       .finished);
    }
    EXPECT_TRUE(Train(recipe, parts, true).finished);
    for (const char* file :
         {"metrics.jsonl", "best/model.safetensors", "checkpoints/step-00000020/model.safetensors",
          "checkpoints/step-00000020/optimizer.safetensors",
          "checkpoints/step-00000020/trainer_state.json"}) {
      EXPECT_EQ(Bytes(whole, file), Bytes(parts, file)) << file << " " << precision;
    }
  }
  const auto size = [&](const char* run) {
    return static_cast<double>(
        Bytes(run, "checkpoints/step-00000020/optimizer.safetensors").size());
  };
  EXPECT_NEAR(size("whole-bf16") / size("whole-f32"), 0.5, 0.01);  // but for the header
}

// Of an adapter: its base stays, and is what a KL reference would be.
TEST_F(FinetuneTest, AnAdapterLearnsResumesAndIsAskedWithItsBase) {
  FinetuneRecipe recipe = Recipe();
  recipe.adapter.kind = "lora";
  recipe.adapter.rank = 4;
  recipe.optimizer.learning_rate = 3e-2;
  std::string notes;
  const FinetuneResult whole = Train(recipe, "whole", false, Notes(&notes));
  EXPECT_LT(whole.last.validation_loss, whole.start_loss - 0.05);  // of random weights
  EXPECT_NE(notes.find("an adapter cannot change that"), std::string::npos) << notes;
  int64_t step = 0;
  Train(recipe, "parts", false,
        {.on_step = [&](const StepMetrics& m) { step = m.step; },
         .stop = [&] { return step >= 11; }});
  EXPECT_TRUE(Train(recipe, "parts", true).finished);
  for (const char* file : {"metrics.jsonl", "best/adapter_model.safetensors",
                           "checkpoints/step-00000020/adapter_model.safetensors",
                           "checkpoints/step-00000020/optimizer.safetensors"}) {
    EXPECT_EQ(Bytes("whole", file), Bytes("parts", file)) << file;
  }
  EXPECT_FALSE(fs::exists(whole.checkpoint + "/model.safetensors"));
  EXPECT_NE(OpenModel(whole.best_checkpoint)->ReadChatFormat().chat_template, "");
  // An adapter goes on from where it was.
  recipe.finetune.steps = 1;
  EXPECT_NEAR(Finetune(recipe, whole.checkpoint, {Data()}, Run("further"), false, {}).start_loss,
              whole.last.validation_loss, 1e-5);
  recipe.finetune.router_bias_gamma = 0.1;
  EXPECT_TRUE(Says(MessageOf([&] { Train(recipe, "router"); }),
                   "finetune.router_bias_gamma is 0.1, but an adapter leaves the router"));
}

// What is set of an adapter that goes on is its own, or refused; what holds is recorded.
TEST_F(FinetuneTest, AnAdapterThatGoesOnKeepsItsShape) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 1;
  recipe.adapter.kind = "lora";
  recipe.adapter.rank = 4;
  recipe.adapter.alpha = 6;
  recipe.adapter.dora = true;
  recipe.adapter.targets = {"o_proj", "down_proj"};
  const std::string adapter = Train(recipe, "first").checkpoint;
  const auto further = [&](const AdapterOptions& options, const std::string& run,
                           bool resume = false, std::string* notes = nullptr) {
    FinetuneRecipe other = recipe;
    other.adapter = options;
    std::string ignored;
    return Finetune(other, adapter, {Data()}, Run(run), resume, Notes(notes ? notes : &ignored));
  };
  const auto recorded = [&](const std::string& run) {
    FinetuneRecipe read;
    ParseToml(Bytes(run, "recipe.toml"), "recipe.toml", FieldsOf(read));
    return read.adapter;
  };
  // The defaults, which nobody gave, and its own.
  std::string notes;
  EXPECT_TRUE(further({}, "defaults", false, &notes).finished);
  EXPECT_NE(notes.find("goes on as it is: rank 4, alpha 6, dora true, targets down_proj, o_proj\n"),
            std::string::npos)
      << notes;
  notes.clear();
  EXPECT_TRUE(further(recipe.adapter, "own", false, &notes).finished);
  EXPECT_EQ(notes.find("goes on as it is"), std::string::npos) << notes;
  for (const char* run : {"defaults", "own"}) {
    const AdapterOptions held = recorded(run);
    EXPECT_EQ(held.rank, 4);
    EXPECT_EQ(held.alpha, 6);
    EXPECT_TRUE(held.dora);
    EXPECT_EQ(held.targets, (std::vector<std::string>{"down_proj", "o_proj"}));
  }
  EXPECT_EQ(recorded("first").targets, recipe.adapter.targets);
  EXPECT_TRUE(further({}, "defaults", true).finished);
  EXPECT_TRUE(further(recorded("defaults"), "defaults", true).finished);
  // Others.
  const auto refused = [&](const auto& set, const std::string& what) {
    AdapterOptions options;
    set(options);
    EXPECT_TRUE(
        Says(MessageOf([&] { further(options, "none"); }),
             fmt::format("adapter.{}, but the adapter {} goes on as it is: rank 4, alpha 6, "
                         "dora true, targets down_proj, o_proj; leave adapter.",
                         what, adapter)));
  };
  refused([](AdapterOptions& o) { o.rank = 64; }, "rank is '64'");
  refused([](AdapterOptions& o) { o.alpha = 1; }, "alpha is '1'");
  refused([](AdapterOptions& o) { o.targets = {"o_proj"}; }, "targets is 'o_proj'");
  recipe.adapter = {};
  recipe.adapter.kind = "lora";
  const std::string plain = Train(recipe, "plain").checkpoint;
  recipe.adapter = {};
  recipe.adapter.dora = true;
  EXPECT_TRUE(Says(MessageOf([&] { Finetune(recipe, plain, {Data()}, Run("none"), false, {}); }),
                   "adapter.dora is 'true', but the adapter "));
  EXPECT_FALSE(fs::exists(Run("none")));
}

TEST_F(FinetuneTest, AShapeThatNoAdapterWillHaveIsRefused) {
  const auto refused = [&](const auto& set, const std::string& what) {
    for (const char* kind : {"auto", "none"}) {  // auto: for a model of this program the same
      FinetuneRecipe recipe = Recipe();
      recipe.adapter.kind = kind;
      set(recipe.adapter);
      EXPECT_TRUE(
          Says(MessageOf([&] { Train(recipe, "none"); }),
               fmt::format("adapter.{}, but all weights of {} are trained; set adapter.kind "
                           "to lora, or leave adapter.",
                           what, model_)));
    }
  };
  refused([](AdapterOptions& o) { o.rank = 64; }, "rank is '64'");
  refused([](AdapterOptions& o) { o.alpha = 1; }, "alpha is '1'");
  refused([](AdapterOptions& o) { o.targets = {"o_proj"}; }, "targets is 'o_proj'");
}

// Its warm-up is a tenth of the steps unless it is given.
TEST_F(FinetuneTest, AShortRunReachesItsRate) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 3;
  recipe.schedule = FinetuneRecipe().schedule;
  const auto highest = [&](const std::string& run, std::string* notes) {
    FinetuneCallbacks callbacks = Notes(notes);
    double rate = 0;
    callbacks.on_step = [&](const StepMetrics& m) { rate = std::max(rate, m.learning_rate); };
    Train(recipe, run, false, callbacks);
    return rate / recipe.optimizer.learning_rate;
  };
  std::string notes;
  EXPECT_EQ(highest("tenth", &notes), 1);
  EXPECT_EQ(notes.find("only rises"), std::string::npos) << notes;
  recipe.schedule.warmup_steps = 10;
  EXPECT_NEAR(highest("long", &notes), 0.3, 1e-15);
  EXPECT_NE(notes.find("schedule.warmup_steps is 10 and the run has 3 steps"), std::string::npos)
      << notes;
}

// Killed behind the last checkpoint, when best/ was of a later step already.
TEST_F(FinetuneTest, WhatAKilledRunWroteBehindItsCheckpointIsMadeAgain) {
  Train(Recipe(), "whole");
  Train(Recipe(), "killed");
  fs::remove_all(StepDirectory(Run("killed"), 20));
  EXPECT_TRUE(fs::exists(StepDirectory(Run("killed"), 16)));
  fs::remove_all(Run("killed") + "/best");
  fs::copy(model_, Run("killed") + "/best", fs::copy_options::recursive);
  EXPECT_TRUE(Train(Recipe(), "killed", true).finished);
  for (const char* file :
       {"metrics.jsonl", "best/model.safetensors", "checkpoints/step-00000020/model.safetensors"}) {
    EXPECT_EQ(Bytes("whole", file), Bytes("killed", file)) << file;
  }
}

// Written behind the last checkpoint by a run that was killed then, and better than what it comes
// to this time.
TEST_F(FinetuneTest, ABestModelOfADroppedFutureGoes) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 4;
  const std::string best = Run("run") + "/best";
  ASSERT_EQ(Train(recipe, "run").best_checkpoint, best);
  const std::string known = Bytes("run", "best/model.safetensors");
  std::string notes;
  EXPECT_EQ(Train(recipe, "run", true, Notes(&notes)).best_checkpoint, best);
  EXPECT_EQ(Bytes("run", "best/model.safetensors"), known);
  EXPECT_EQ(notes.find("best/"), notes.npos) << notes;
  fs::remove_all(best);
  fs::copy(model_, best, fs::copy_options::recursive);
  EXPECT_EQ(Train(recipe, "run", true, Notes(&notes)).best_checkpoint, "");
  EXPECT_FALSE(fs::exists(best));
  EXPECT_NE(notes.find("best/ is gone; it is written again where a measurement is better than all "
                       "before"),
            notes.npos)
      << notes;
}

// Killed before its first checkpoint.
TEST_F(FinetuneTest, ARunWithoutACheckpointBeginsWithoutABest) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 2;
  recipe.optimizer.learning_rate = 1e-30;
  Train(recipe, "run");
  fs::remove_all(Run("run") + "/checkpoints");
  fs::copy(model_, Run("run") + "/best", fs::copy_options::recursive);
  EXPECT_EQ(Train(recipe, "run", true).best_checkpoint, "");
  EXPECT_FALSE(fs::exists(Run("run") + "/best"));
  std::string notes;
  Train(recipe, "run", true, Notes(&notes));
  EXPECT_EQ(notes.find("best/ is gone"), notes.npos) << notes;  // there was none
}

TEST_F(FinetuneTest, EveryEpochTakesEachSampleOnceInAnotherOrder) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 0;
  recipe.finetune.epochs = 2.5;
  recipe.finetune.samples_per_step = 7;
  recipe.finetune.held_out_share = 0;
  recipe.optimizer.learning_rate = 1e-30;
  std::vector<double> losses;
  const FinetuneCallbacks callbacks{
      .on_step = [&](const StepMetrics& m) { losses.push_back(m.loss); }};
  const FinetuneResult result = Train(recipe, "run", false, callbacks);
  EXPECT_EQ(result.last.step, 22);  // 150 samples by 7
  EXPECT_EQ(result.last.epochs, 2.5);
  recipe.finetune.samples_per_step = 6;  // step 10 is the second epoch's first
  losses.clear();
  Train(recipe, "order", false, callbacks);
  ASSERT_EQ(losses.size(), 25u);
  EXPECT_NE(losses[0], losses[10]);
  EXPECT_NE(losses[10], losses[20]);
  // All samples come in an epoch: with a step an epoch its loss is every epoch's.
  recipe.finetune.samples_per_step = 60;
  recipe.finetune.epochs = 3;
  losses.clear();
  Train(recipe, "steps", false, callbacks);
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_NEAR(losses[0], losses[1], 1e-5);
  EXPECT_NEAR(losses[0], losses[2], 1e-5);
}

TEST_F(FinetuneTest, SamplesThatAreTooLongAreLeftOutOrCut) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 1;
  recipe.finetune.max_tokens = 28;
  std::string notes;
  Train(recipe, "out", false, Notes(&notes));
  EXPECT_NE(notes.find(" samples of more than 28 tokens, finetune.max_tokens: left out "
                       "(finetune.too_long = \"cut\" cuts them)\n"),
            std::string::npos)
      << notes;
  const auto of = [](const std::string& text) {
    return std::stoi(text.substr(text.find("60 chats: ") + 10));
  };
  const int left = of(notes);
  EXPECT_LT(left, 48);
  recipe.finetune.too_long = "cut";
  notes.clear();
  Train(recipe, "cut", false, Notes(&notes));
  EXPECT_NE(notes.find("28 tokens, finetune.max_tokens: cut there"), std::string::npos) << notes;
  EXPECT_GT(of(notes), left);
  recipe.finetune.max_tokens = 5;
  EXPECT_TRUE(Says(MessageOf([&] { Train(recipe, "none"); }),
                   "no sample to learn from: 60 rows, 60 chats; 60 samples too long, 0 held out"));
  EXPECT_FALSE(fs::exists(Run("none")));
  recipe.finetune.max_tokens = 0;  // the model's context
  scratch_.Write("long.jsonl", "{\"prompt\": \"" + std::string(200, 'a') +
                                   "\", \"completion\": \"b\"}\n" +
                                   "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
  notes.clear();
  recipe.finetune.held_out_share = 0;
  Finetune(recipe, model_, {scratch_ / "long.jsonl"}, Run("long"), false, Notes(&notes));
  EXPECT_NE(notes.find("1 sample of more than 128 tokens, what the model's context holds: "),
            std::string::npos)
      << notes;
}

TEST_F(FinetuneTest, ACutSampleLosesItsEndAlone) {
  const Tokenizer tokenizer = Tokenizer::FromJson(TokenizerJson(), "tiny");
  ChatEncoder encoder(tokenizer, {.eos = kEos}, "tiny");
  FinetuneOptions options;
  options.too_long = "cut";
  options.held_out_share = 0;
  const std::string path = scratch_.Write("a.jsonl", R"({"prompt": "ab", "completion": "cdef"})");
  for (int64_t limit = 1; limit <= 9; ++limit) {
    options.max_tokens = limit;
    if (limit <= 3) {
      EXPECT_TRUE(Says(MessageOf([&] { ReadFinetuneData({path}, encoder, options, 128, {}); }),
                       "no sample to learn from"));
      continue;
    }
    const FinetuneData data = ReadFinetuneData({path}, encoder, options, 128, {});
    ASSERT_EQ(data.train.size(), 1u);
    const int64_t length = std::min<int64_t>(limit, 8);
    EXPECT_EQ(data.train[0].answers, (std::vector<TokenRange>{{3, length}}));
    EXPECT_EQ(static_cast<int64_t>(data.train[0].tokens.size()), length);
    EXPECT_EQ(data.longest, length);
  }
}

// No chat's place depends on another.
TEST_F(FinetuneTest, ChatsAreHeldOutByWhatTheyBeginWith) {
  const Tokenizer tokenizer = Tokenizer::FromJson(TokenizerJson(), "tiny");
  ChatEncoder encoder(tokenizer, {.eos = kEos}, "tiny");
  FinetuneOptions options;
  options.held_out_share = 0.3;
  std::map<std::vector<int32_t>, bool> held;
  const auto read = [&](int first, int last) {
    std::string rows;
    for (int i = first; i < last; ++i) {
      for (const char* answer : {"x", "y"})
        rows += fmt::format("{{\"prompt\": \"{}\", \"completion\": \"{}\"}}\n", i, answer);
    }
    const FinetuneData data =
        ReadFinetuneData({scratch_.Write("b.jsonl", rows)}, encoder, options, 128, {});
    EXPECT_EQ(data.held_out.size() % 2, 0u);  // same question, same side
    for (const bool out : {false, true}) {
      for (const ChatSample& sample : out ? data.held_out : data.train) {
        const auto [at, is_new] = held.emplace(sample.tokens, out);
        EXPECT_EQ(at->second, out);
      }
    }
    return data.held_out.size();
  };
  EXPECT_NEAR(static_cast<double>(read(0, 200)), 120, 40);
  read(100, 300);
}

TEST_F(FinetuneTest, AnotherRunIsRefused) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 2;
  Train(recipe, "run");
  EXPECT_THROW(Train(recipe, "run"), RunIsThere);
  FinetuneRecipe other = recipe;
  other.finetune.seed = 2;
  EXPECT_TRUE(
      Says(MessageOf([&] { Train(other, "run", true); }), "the run was started with 'seed"));
  // Another file of the same chats is the same data.
  std::string notes;
  fs::rename(Data(), scratch_ / "moved.jsonl");
  Finetune(recipe, model_, {scratch_ / "moved.jsonl"}, Run("run"), true, Notes(&notes));
  EXPECT_NE(notes.find("finished already: "), std::string::npos) << notes;
  WriteChats("chats.jsonl", 59);
  EXPECT_TRUE(
      Says(MessageOf([&] { Train(recipe, "run", true); }), "was started with another data"));
  WriteChats("chats.jsonl", 60);
  recipe.finetune.steps = 3;
  EXPECT_EQ(Train(recipe, "run", true).last.step, 3);
  recipe.finetune.steps = 2;
  EXPECT_TRUE(Says(MessageOf([&] { Train(recipe, "run", true); }), "but 3 steps are done"));
}

TEST_F(FinetuneTest, ABadRowStopsTheRunBeforeItBegins) {
  scratch_.Write("chats.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"text\": 1}\n");
  EXPECT_TRUE(Says(MessageOf([&] { Train(Recipe(), "run"); }),
                   "chats.jsonl:2: not a chat: its columns are text"));
  EXPECT_FALSE(fs::exists(Run("run")));
}

TEST_F(FinetuneTest, ARateThatHelpsNothingLeavesNoBest) {
  FinetuneRecipe recipe = Recipe();
  recipe.finetune.steps = 2;
  recipe.optimizer.learning_rate = 1e-30;
  std::string notes;
  EXPECT_EQ(Train(recipe, "run", false, Notes(&notes)).best_checkpoint, "");
  EXPECT_FALSE(fs::exists(Run("run") + "/best"));
  EXPECT_NE(notes.find("no measurement was better than the model it began with"),
            std::string::npos);
}

TEST(FinetuneOptions, AreChecked) {
  const auto fault = [](auto change) {
    FinetuneOptions options;
    change(options);
    return MessageOf([&] { Validate(options); });
  };
  EXPECT_EQ(fault([](FinetuneOptions&) {}), "");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.epochs = 0; }),
            "epochs is 0; it must be more than 0 and at most a million");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.epochs = std::nan(""); }),
            "epochs is nan; it must be more than 0 and at most a million");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.too_long = "x"; }),
            "too_long is 'x'; it must be leave_out or cut");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.held_out_share = 1; }),
            "held_out_share is 1; it must be in [0, 1)");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.steps = -1; }),
            "steps is -1; it must be from 0 to 4294967296");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.samples_per_step = 0; }),
            "samples_per_step is 0; it must be from 1 to 1048576");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.mtp_lambda = -1; }),
            "mtp_lambda is -1; it cannot be negative");
  EXPECT_EQ(fault([](FinetuneOptions& o) { o.precision = "f16"; }),
            "precision is 'f16'; it must be f32 or bf16");
}

}  // namespace
}  // namespace darkhorse
