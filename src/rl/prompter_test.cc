// How problems are asked: plainly, to the token as corpora have them, or through a template as the
// options say; and that a run asks so.
#include "rl/prompter.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "checkpoint/model_source.h"
#include "rl/tiny_run_testing.h"

namespace darkhorse {
namespace {

constexpr char kTemplate[] =
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}{% endif %}"
    "{{ m.role[0] }}:{{ m.content }};{% endfor %}a:"
    "{% if thinking %}<think>{% endif %}";

class PrompterTest : public ReinforceTest {
 protected:
  static AskedModel Model(const std::string& chat_template) {
    return {"the model", *tokenizer_, 0, {chat_template, "", ""}};
  }
  static Problem Question(const std::string& text) {
    Problem problem;
    problem.prompt = text + "\n";
    problem.where = "mine.jsonl:3";
    return problem;
  }
  // Without the mark that every text begins with.
  static std::string Asked(const Prompter& prompter, const std::string& question = "hi") {
    const std::vector<int32_t> tokens = prompter.Of(Question(question)).tokens;
    EXPECT_EQ(tokens.front(), 0);
    return tokenizer_->Decode(std::span(tokens).subspan(1));
  }
};

TEST_F(PrompterTest, OwnTasksAreAskedAsTheirCorpusHasThem) {
  const Prompter prompter({"", *tokenizer_, 0});
  EXPECT_FALSE(prompter.chats());
  for (uint64_t i = 0; i < 20; ++i) {
    const Problem problem = MakeProblem(FindTask("parity"), 1, i, 1, Split::kTrain);
    const Prompter::Prompt prompt = prompter.Of(problem);
    EXPECT_EQ(prompt.tokens, tokenizer_->EncodeDocument(0, problem.prompt, false));
    EXPECT_EQ(prompt.opening, "");
  }
}

TEST_F(PrompterTest, SaysWhatTheOptionsSay) {
  EXPECT_EQ(Asked(Prompter(Model(kTemplate))), "u:hi;a:");
  EXPECT_EQ(Asked(Prompter(Model(kTemplate), {}, "box it")), "u:hi\nbox it;a:");
  EXPECT_EQ(Asked(Prompter(Model(kTemplate), {.instruction = ""}, "box it")), "u:hi;a:");
  EXPECT_EQ(Asked(Prompter(Model(kTemplate), {.instruction = "go"}, "box it")), "u:hi\ngo;a:");
  EXPECT_EQ(Asked(Prompter(Model(kTemplate), {.system = "be"})), "s:be;u:hi;a:");
  const Prompter thinks(Model(kTemplate), {.thinking = "on"});
  EXPECT_EQ(Asked(thinks), "u:hi;a:<think>");
  EXPECT_EQ(thinks.Of(Question("hi")).opening, "<think>");
  const Prompter prefilled(Model(kTemplate), {.prefill = "Well, "});
  EXPECT_EQ(Asked(prefilled), "u:hi;a:Well, ");
  EXPECT_EQ(prefilled.Of(Question("hi")).opening, "Well, ");
  Problem shot = Question("s");
  shot.answer = "t";
  EXPECT_EQ(Asked(Prompter(Model(kTemplate), {.instruction = "go"}, "", {shot})),
            "u:s\ngo;a:t;u:hi\ngo;a:");
}

// What asks for a place that this program's own models know anyway is not theirs to hear.
TEST_F(PrompterTest, PlainPromptsGoOnAsTheOptionsSay) {
  EXPECT_EQ(Asked(Prompter(Model(kTemplate), {.form = "plain"}, "box it")), "hi\n");
  EXPECT_EQ(Asked(Prompter(Model(""), {}, "box it")), "hi\n");
  EXPECT_EQ(Asked(Prompter(Model(""), {.prefill = "<think>", .instruction = "go"})),
            "hi\ngo\n<think>");
}

TEST_F(PrompterTest, WhatDoesNotFitTheModelIsRefused) {
  const auto refused = [](const std::string& chat_template, const PromptOptions& options) {
    return MessageOf([&] { Prompter(Model(chat_template), options); });
  };
  EXPECT_TRUE(Says(refused("", {.form = "chat"}), "prompt.template is chat, but the model has no"));
  EXPECT_TRUE(Says(refused("", {.system = "s"}),
                   "prompt.system is for a chat template, but the "
                   "model has none"));
  EXPECT_TRUE(Says(refused(kTemplate, {.form = "plain", .thinking = "on"}),
                   "prompt.thinking is for a chat template, but prompt.template is plain"));
  EXPECT_TRUE(Says(refused("{% for %}", {}), "the model: its chat template"));
  const Prompter prompter(Model(kTemplate));
  EXPECT_TRUE(Says(MessageOf([&] { prompter.Of(Question("no")); }), "mine.jsonl:3: "));
  EXPECT_TRUE(Says(MessageOf([] {
                     ReinforceRecipe recipe = Recipe();
                     recipe.prompt.form = "chatty";
                     Validate(recipe);
                   }),
                   "prompt.template is 'chatty'; it must be one of auto, chat, plain"));
}

// A run samples behind the prompt that the template and the recipe make, and the scorer sees what
// is prefilled: here the whole answer, which a wrong answer to all but itself would be.
TEST_F(PrompterTest, ARunAsksThroughTheTemplate) {
  const std::string model = RunPath("model");
  std::filesystem::copy(Base(), model);
  WriteFileAtomically(model + "/chat_template.jinja", std::string_view(kTemplate));
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 1;
  recipe.rl.evaluate_every = 1;
  recipe.problems.words = "notation";  // short, as the model's context
  recipe.prompt.system = "be";
  recipe.prompt.prefill = "<think></think><answer>odd</answer>";
  recipe.prompt.instruction = "go";
  const std::string run = RunPath("run");
  Reinforce(recipe, model, run, false, {});
  const std::string text = ReadFile(run + "/samples.jsonl");
  const auto sample = ParseJson(text, "samples");
  const std::string problem = sample["prompt"];
  EXPECT_TRUE(sample["asked"].get<std::string>().ends_with("s:be;u:" + problem +
                                                           "go;a:" + recipe.prompt.prefill))
      << sample["asked"];
  EXPECT_TRUE(sample["completion"].get<std::string>().starts_with(recipe.prompt.prefill));
  // Read and paid as of a chat: the place is told with the score.
  EXPECT_TRUE(sample["why"].get<std::string>().starts_with("boxed: ")) << sample["why"];
  // Evaluated the same way: a prefilled answer is right as often as its guess is.
  const std::string metrics = ReadFile(run + "/metrics.jsonl");
  const auto start = ParseJson(metrics.substr(0, metrics.find('\n')), "metrics");
  EXPECT_EQ(start["evaluation"][0]["pass@1"], 0.0);  // in no box
  EXPECT_GT(start["evaluation"][0]["lenient"]["pass@1"], 0.0);
  EXPECT_TRUE(metrics.find("\"accuracy_lenient\":") != std::string::npos);
  // The result is asked so again.
  EXPECT_EQ(OpenModel(run + "/checkpoints/step-00000001")->ReadChatFormat().chat_template,
            kTemplate);
}

}  // namespace
}  // namespace darkhorse
