// `darkhorse chat`: one question a line, the answer as it is thought.
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/utf8.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

struct ChatOptions {
  std::string model;
  int64_t max_tokens = 512;
  SamplingParams sampling;
  uint64_t seed = 0;
  std::string color = "auto";
};

void Write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Answers one question; each is drawn from a random stream of its own, so that the same questions
// in the same order get the same answers.
void Answer(const LoadedModel& loaded, const ChatOptions& options, const std::string& question,
            uint64_t turn, Engine& engine) {
  GenerationRequest request;
  request.prompt = loaded.PromptTokens(question + "\n", /*special=*/false);
  request.max_tokens = options.max_tokens;
  request.sampling = options.sampling;
  request.seed = options.seed;
  request.stream = turn;
  request.stop_tokens = StopTokens(loaded.config());
  const bool color =
      options.color == "always" || (options.color == "auto" && isatty(STDOUT_FILENO));
  // The tags of thoughts are special tokens and are shown; the end mark is not.
  TextStream text(loaded.tokenizer(), /*skip_special_tokens=*/false);
  SpokenText spoken(color);
  const std::vector<Completion> completions = engine.Generate({request}, [&](const Completion& c) {
    if (c.finish != FinishReason::kStop)
      Write(spoken.Next(EscapedForTerminal(text.Next(c.tokens.back()))));
    return !Interrupted();
  });
  const Completion& completion = completions.front();
  Write(spoken.Next(EscapedForTerminal(text.End())) + spoken.End() + "\n");
  if (completion.finish == FinishReason::kLength) {
    const bool asked = static_cast<int64_t>(completion.tokens.size()) >= options.max_tokens;
    Note(asked ? "cut off: the answer ran out of room; --max-tokens gives more"
               : "cut off: the model's context is full");
  }
}

void Run(const ChatOptions& options) {
  Validate(options.sampling);
  const LoadedModel loaded(options.model);
  const int64_t capacity = loaded.config().max_position_embeddings;
  Engine engine(loaded.model(), loaded.weights(), CacheForm::kLatent, 1, capacity);
  CatchInterrupts();
  const bool terminal = isatty(STDIN_FILENO);
  if (terminal) Note("one question a line, as the model's task words it; end with Ctrl-D");
  std::string question;
  int64_t unanswered = 0;
  for (uint64_t turn = 0; !Interrupted(); ++turn) {
    if (terminal) std::fputs("> ", stderr);
    if (!std::getline(std::cin, question)) break;
    if (question.empty()) continue;
    try {
      Answer(loaded, options, question, turn, engine);
    } catch (const Error& error) {  // a question too long; the next may be shorter
      Note(error.what());
      ++unanswered;
    }
  }
  if (std::ferror(stdin) && !Interrupted())
    Fail("standard input cannot be read; check where it comes from");
  if (unanswered > 0 && !terminal) Fail("questions without an answer: {}; see above", unanswered);
}

}  // namespace

void RegisterChat(Command app) {
  const auto options = std::make_shared<ChatOptions>();
  Command command =
      app.AddCommand("chat", "Ask a model in the terminal, its thoughts shown dimmed");
  command.Add("--model", options->model, "checkpoint directory").Required();
  command.Add("--max-tokens", options->max_tokens, "longest answer, thoughts included")
      .Within(1, INT32_MAX);
  AddSamplingFlags(command, &options->sampling);
  command.Add("--seed", options->seed, "same seed and questions, same answers");
  command.Add("--color", options->color, "dim the thoughts").OneOf({"auto", "always", "never"});
  command.Footer(
      "Each line is a question of its own: a model trained on problems knows no conversation.\n"
      "`darkhorse task show NAME` prints problems as they are worded.");
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
