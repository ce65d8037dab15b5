// `darkhorse chat`: one question a line, the answer as it is thought.
#include "app/chat.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "app/app.h"
#include "app/example_question.h"
#include "app/flags.h"
#include "app/input_lines.h"
#include "app/output.h"
#include "app/speculate_flag.h"
#include "app/speech.h"
#include "app/weights_flag.h"
#include "base/ascii.h"
#include "base/error.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "base/utf8.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"
#include "pipeline/recipe_around.h"
#include "pipeline/thinking_budget.h"
#include "text/conversation.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

// Latents of the conversation before are computed again where it is shorter than so many tokens.
constexpr int64_t kPrefillRows = 64;

const char* Describe(FinishReason reason) {
  if (reason == FinishReason::kCancelled) return "interrupted";
  return reason == FinishReason::kLength ? "length" : "stop";
}

// What the flags leave open is as in the run that the model lies in: it learned to answer so.
Conversation::Options TalkOf(const ChatFlags& flags, const LoadedModel& loaded) {
  PromptOptions run;
  const auto around = FindRecipeAround(flags.model);
  if (around && !loaded.chat_format().chat_template.empty()) run = around->recipe.prompt;
  const bool asked = flags.thinking != "auto";
  const bool taken = (!flags.system && !run.system.empty()) || (!asked && run.thinking != "auto") ||
                     !run.prefill.empty();
  if (taken) Note(fmt::format("asking as {} has it", around->path));
  Conversation::Options talk{.system = flags.system.value_or(run.system), .prefill = run.prefill};
  const std::string& thinking = asked ? flags.thinking : run.thinking;
  if (thinking != "auto") talk.thinks = thinking == "on";
  return talk;
}

constexpr CacheForm kForm = CacheForm::kLatent;

int64_t ContextOf(const ChatFlags& flags, const ModelConfig& config) {
  return std::min(flags.context.value_or(kStandardContext), config.max_position_embeddings);
}

class Chat : public ChatPartner {
 public:
  Chat(const ChatFlags& options, const LoadedModel& loaded, Speculation& speculation)
      : options_(options),
        loaded_(loaded),
        talk_(loaded.Talk(TalkOf(options, loaded))),
        engine_(loaded.model(), loaded.weights(),
                {.form = kForm,
                 .slots = 1,
                 .capacity = context(),
                 .prefill_rows = kPrefillRows,
                 .remember = true},
                speculation.Make(loaded, kForm, 1, context())) {}

  bool remembers() const override { return talk_.remembers(); }
  void Clear() override { talk_.Clear(); }

  // Each answer is drawn from a random stream of its own.
  void Answer(const std::string& question, uint64_t turn) override {
    GenerationRequest request;
    const int64_t forgotten = talk_.forgotten();
    // Room for the answer, at most half of the context: older turns are forgotten for it.
    const int64_t longest = options_.max_tokens.value_or(context());
    request.prompt = talk_.Ask(question, context() - std::min(longest, context() / 2));
    if (talk_.forgotten() > forgotten) {
      Note(fmt::format("the context of {} tokens is full; forgotten so far: {} of the oldest turns",
                       context(), talk_.forgotten()));
    }
    request.max_tokens = longest;
    request.sampling = options_.sampling;
    request.seed = options_.seed;
    request.stream = turn;
    request.stop_tokens = StopTokens(loaded_.config());
    request.never = loaded_.silent_tokens();
    if (options_.max_reasoning_tokens) {
      request.thought =
          MakeThoughtBudget(loaded_.tokenizer(), *options_.max_reasoning_tokens,
                            talk_.remembers() && talk_.begins_in_thought(), talk_.remembers());
    }
    TextStream text(loaded_.tokenizer());  // special tokens are shown, the end mark is not
    Speech speech({.splits = talk_.remembers(),
                   .in_thought = talk_.remembers() && talk_.begins_in_thought(),
                   .color = options_.Colored(),
                   .shown = !options_.json});
    if (talk_.remembers()) speech.Say(talk_.prefill());
    const auto keep_going = [&](const Completion& c) {
      if (c.finish != FinishReason::kStop) speech.Say(text.Next(c.tokens.back()));
      return !Interrupted();
    };
    std::vector<Completion> completions;
    try {
      completions = engine_.Generate({request}, keep_going);
    } catch (const Error&) {
      talk_.Withdraw();
      throw;
    }
    const Completion& completion = completions.front();
    speech.Say(text.End());
    const std::string& answer = speech.End();
    talk_.Answer(speech.thought(), speech.content());
    if (options_.json) {
      Json exchange = {{"question", question}};
      if (!speech.thought().empty()) exchange["thought"] = speech.thought();
      exchange.update(Json{{"answer", talk_.remembers() ? speech.content() : answer},
                           {"tokens", completion.tokens.size()},
                           {"finish", Describe(completion.finish)}});
      WriteNow(ResultText(exchange, true));
    }
    if (completion.finish == FinishReason::kLength) TellOfTheCut(question, completion);
  }

 private:
  int64_t context() const { return ContextOf(options_, loaded_.config()); }

  void TellOfTheCut(const std::string& question, const Completion& completion) const {
    const bool asked = options_.max_tokens &&
                       static_cast<int64_t>(completion.tokens.size()) >= *options_.max_tokens;
    const bool longer = context() < loaded_.config().max_position_embeddings;
    const std::string why = asked ? fmt::format("at {}; --max-tokens gives more",
                                                Counted(*options_.max_tokens, "token"))
                                  : fmt::format("where the context of {} tokens is full{}",
                                                context(), longer ? "; --context gives more" : "");
    Note(fmt::format("the answer to '{}' is cut off {}", Printable(question, 60), why));
  }

  const ChatFlags& options_;
  const LoadedModel& loaded_;
  Conversation talk_;
  Engine engine_;
};

void Greet(const std::string& model, bool remembers) {
  if (remembers) return Note("a conversation: /clear begins anew, /exit ends");
  const std::string example = ExampleQuestion(model);
  Note(fmt::format("one question a line, as the model's task words it{}; exit ends",
                   example.empty() ? "" : fmt::format(", such as: {}", example)));
}

// Asks what is typed or piped in until it ends.
void Talk(const ChatFlags& options, ChatPartner& chat) {
  CatchInterrupts();
  InputLines lines;
  if (lines.terminal()) Greet(options.model, chat.remembers());
  std::string question;
  int64_t unanswered = 0;
  uint64_t turn = 0;  // of those asked
  while (!Interrupted() && lines.Next(&question)) {
    if (TrimAscii(question).empty()) continue;
    if (question == "/exit" || question == "/quit") break;
    const bool talk = chat.remembers();  // a question there may be any word
    if (!talk && (question == "exit" || question == "quit")) break;
    if (talk && question == "/clear") {
      chat.Clear();
      continue;
    }
    // What nobody typed stands with its answer, or the answers would not tell what they answer.
    if (!lines.terminal() && !options.json) WriteNow("> " + EscapedForTerminal(question) + "\n");
    try {
      chat.Answer(question, turn++);
    } catch (const Error& error) {  // a question too long; the next may be shorter
      if (options.json)
        WriteNow(ResultText({{"question", question}, {"error", error.what()}}, true));
      Note(error.what());
      ++unanswered;
    }
  }
  // Or a script would take half of the answers for all.
  if (Interrupted())
    throw SavedInterruption{
        {}, lines.terminal() ? "the talk ends here" : "what is left of the input has no answer"};
  if (unanswered > 0 && !lines.terminal())
    Fail("questions without an answer: {}; see above", unanswered);
}

void CheckFlags(const ChatFlags& options) {
  Validate(options.sampling);
  if (options.url.empty()) {
    if (options.model.empty()) FailUsage("chat: name a model, or with --url a server that has one");
    if (!options.key_file.empty())
      FailUsage("--key-file is for a server's key; name it with --url");
    return;
  }
  if (options.speculate.name != "auto")
    FailUsage("--speculate: with --url the server guesses for itself");
  if (options.weights.given()) FailUsage("--weights: with --url the server has the model loaded");
  if (options.context) FailUsage("--context: with --url it is the server's own");
}

// Of what only a chat template has a place for.
void CheckTemplate(const ChatFlags& options, const OpenedModel& opened) {
  if (!opened.chat_format().chat_template.empty()) return;
  const bool system = options.system && !options.system->empty();
  if (!system && options.thinking == "auto") return;
  FailUsage("{}: {} has no chat template, so it would not be told that; leave it out",
            system ? "--system" : "--thinking", opened.path());
}

void Run(const ChatFlags& options) {
  CheckFlags(options);
  if (!options.url.empty()) return Talk(options, *MakeRemoteChat(options));
  OpenedModel opened(options.model);
  CheckTemplate(options, opened);
  Speculation speculation(options.speculate, opened);
  const CacheNeed need = speculation.With({.form = kForm,
                                           .sequences = 1,
                                           .tokens = ContextOf(options, opened.config()),
                                           .smaller_cache = "lower --context",
                                           .smaller_weights = kSmallerWeights});
  const LoadedModel loaded(std::move(opened), options.weights.Of(options.model), need);
  Chat chat(options, loaded, speculation);
  Talk(options, chat);
}

}  // namespace

bool ChatFlags::Colored() const {
  return color == "always" || (color == "auto" && isatty(STDOUT_FILENO));
}

void RegisterChat(Command app) {
  const auto options = std::make_shared<ChatFlags>();
  Command command =
      app.AddCommand("chat", "Ask a model in the terminal, its thoughts shown dimmed");
  command.Add("model,--model", options->model,
              fmt::format("{}; with --url the name of one of the server's", kModelFiles));
  command.Add("--url", options->url,
              "a server of OpenAI's API that answers instead, as in http://127.0.0.1:8080");
  command.Add("--key-file", options->key_file, "file whose first line is the server's key");
  options->weights.Register(command, kTrainedWeights);
  command
      .Add(
          "--max-tokens", options->max_tokens,
          "longest answer, thoughts included; by default what the context leaves, at least half of "
          "it")
      .Within(1, INT32_MAX);
  command
      .Add("--max-reasoning-tokens", options->max_reasoning_tokens,
           "longest thought; one that takes longer is ended, and the answer follows")
      .Within(0, INT32_MAX);
  command
      .Add("--context", options->context,
           fmt::format("longest conversation, tokens; by default {}; the model's own if less",
                       kStandardContext))
      .Within(1, INT32_MAX);
  AddSamplingFlags(command, &options->sampling);
  command.AddFunction(
      "--system", [options](const std::string& text) { options->system = text; }, "TEXT",
      "what the run that it lies in told it",
      "what the model is told before all; \"\" for nothing");
  command
      .Add("--thinking", options->thinking,
           "what a chat template is told that asks whether to think; auto: as in the run that the "
           "model lies in, else its own default")
      .OneOf({"auto", "on", "off"});
  command.Add("--seed", options->seed, "same seed and questions, same answers");
  options->speculate.Register(command);
  command.Add("--color", options->color, "dim the thoughts").OneOf({"auto", "always", "never"});
  command.Add("--json", options->json, "print each exchange as one JSON object");
  command.Footer(
      "With a model that has a chat template each line goes on with the conversation; `/clear`\n"
      "begins anew, `/exit` ends. A model trained on problems knows no conversation: each line is "
      "a\n"
      "question of its own, `exit` or `quit` ends. The temperature of 0.6 is what DeepSeek-R1 is "
      "run with: at 1 a "
      "model\n"
      "errs more often, at 0 it may think in circles.\n"
      "`darkhorse task show NAME` prints problems as they are worded.");
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
