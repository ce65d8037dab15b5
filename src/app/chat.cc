// `darkhorse chat`: one question a line, the answer as it is thought.
#include <unistd.h>

#include <cstdio>

#include "app/app.h"
#include "app/example_question.h"
#include "app/flags.h"
#include "app/input_lines.h"
#include "app/output.h"
#include "app/weights_flag.h"
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
  WeightsFlag weights;
  int64_t max_tokens = 512;
  SamplingParams sampling = {.temperature = 0.6f};
  uint64_t seed = 0;
  std::string color = "auto";
  bool json = false;
};

void Write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

const char* Describe(FinishReason reason) {
  if (reason == FinishReason::kCancelled) return "interrupted";
  return reason == FinishReason::kLength ? "length" : "stop";
}

class Chat {
 public:
  Chat(const ChatOptions& options, const LoadedModel& loaded)
      : options_(options),
        loaded_(loaded),
        engine_(loaded.model(), loaded.weights(), CacheForm::kLatent, 1,
                loaded.config().max_position_embeddings) {}

  // Answers one question; each is drawn from a random stream of its own, so that the same questions
  // in the same order get the same answers.
  void Answer(const std::string& question, uint64_t turn) {
    GenerationRequest request;
    request.prompt = loaded_.PromptTokens(question + "\n", /*special=*/false);
    request.max_tokens = options_.max_tokens;
    request.sampling = options_.sampling;
    request.seed = options_.seed;
    request.stream = turn;
    request.stop_tokens = StopTokens(loaded_.config());
    TextStream text(loaded_.tokenizer());  // special tokens are shown, the end mark is not
    SpokenText spoken(Colored());
    std::string answer;
    const auto say = [&](const std::string& piece) {
      answer += piece;
      if (!options_.json) Write(spoken.Next(EscapedForTerminal(piece)));
    };
    const auto keep_going = [&](const Completion& c) {
      if (c.finish != FinishReason::kStop) say(text.Next(c.tokens.back()));
      return !Interrupted();
    };
    const std::vector<Completion> completions = engine_.Generate({request}, keep_going);
    const Completion& completion = completions.front();
    say(text.End());
    if (options_.json) {
      Write(ResultText({{"question", question},
                        {"answer", answer},
                        {"tokens", completion.tokens.size()},
                        {"finish", Describe(completion.finish)}},
                       true));
    } else {
      Write(spoken.End() + "\n");
    }
    if (completion.finish == FinishReason::kLength) TellOfTheCut(question, completion);
  }

 private:
  bool Colored() const {
    return options_.color == "always" || (options_.color == "auto" && isatty(STDOUT_FILENO));
  }

  void TellOfTheCut(const std::string& question, const Completion& completion) const {
    const bool asked = static_cast<int64_t>(completion.tokens.size()) >= options_.max_tokens;
    const std::string why =
        asked ? fmt::format("at {} tokens; --max-tokens gives more", options_.max_tokens)
              : fmt::format("where the model's context of {} tokens is full",
                            loaded_.config().max_position_embeddings);
    Note(fmt::format("the answer to '{}' is cut off {}", Printable(question, 60), why));
  }

  const ChatOptions& options_;
  const LoadedModel& loaded_;
  Engine engine_;
};

void Greet(const std::string& model) {
  const std::string example = ExampleQuestion(model);
  Note(fmt::format("one question a line, as the model's task words it{}; exit ends",
                   example.empty() ? "" : fmt::format(", such as: {}", example)));
}

void Run(const ChatOptions& options) {
  Validate(options.sampling);
  const LoadedModel loaded(options.model, options.weights.Of(options.model));
  Chat chat(options, loaded);
  CatchInterrupts();
  InputLines lines;
  if (lines.terminal()) Greet(options.model);
  std::string question;
  int64_t unanswered = 0;
  uint64_t turn = 0;  // of those asked
  while (!Interrupted() && lines.Next(&question)) {
    if (question.empty()) continue;
    if (question == "exit" || question == "quit") break;
    // What nobody typed stands with its answer, or the answers would not tell what they answer.
    if (!lines.terminal() && !options.json) Write("> " + EscapedForTerminal(question) + "\n");
    try {
      chat.Answer(question, turn++);
    } catch (const Error& error) {  // a question too long; the next may be shorter
      if (options.json) Write(ResultText({{"question", question}, {"error", error.what()}}, true));
      Note(error.what());
      ++unanswered;
    }
  }
  if (unanswered > 0 && !lines.terminal())
    Fail("questions without an answer: {}; see above", unanswered);
}

}  // namespace

void RegisterChat(Command app) {
  const auto options = std::make_shared<ChatOptions>();
  Command command =
      app.AddCommand("chat", "Ask a model in the terminal, its thoughts shown dimmed");
  command.Add("model,--model", options->model, "checkpoint directory").Required();
  options->weights.Register(command, kTrainedWeights);
  command.Add("--max-tokens", options->max_tokens, "longest answer, thoughts included")
      .Within(1, INT32_MAX);
  AddSamplingFlags(command, &options->sampling);
  command.Add("--seed", options->seed, "same seed and questions, same answers");
  command.Add("--color", options->color, "dim the thoughts").OneOf({"auto", "always", "never"});
  command.Add("--json", options->json, "print each exchange as one JSON object");
  command.Footer(
      "Each line is a question of its own: a model trained on problems knows no conversation.\n"
      "`exit` or `quit` ends. The temperature of 0.6 is what DeepSeek-R1 is run with: at 1 a "
      "model\n"
      "errs more often, at 0 it may think in circles.\n"
      "`darkhorse task show NAME` prints problems as they are worded.");
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
