#include "app/evaluate_asked.h"

#include <algorithm>

#include "base/byte_source.h"
#include "base/error.h"
#include "infer/engine.h"
#include "rl/evaluate.h"
#include "rl/log.h"
#include "rl/prompter.h"
#include "rl/rollout.h"
#include "task/jsonl.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxShotBytes = int64_t{1} << 26;

Prompter PrompterOf(const LoadedModel& loaded, const AskFlags& flags) {
  std::vector<Problem> shots;
  if (!flags.shots.empty())
    shots = ParseProblems(ReadDecompressed(flags.shots, kMaxShotBytes), flags.shots,
                          AnswerColumn::kWorked);
  return Prompter(loaded.Asked(), flags.Prompt(),
                  std::string(AnswerInstruction(ParseAnswerPlace(flags.place))), shots);
}

std::vector<Sample> Draw(const LoadedModel& loaded, const AskFlags& flags,
                         const std::vector<Problem>& problems, const EvaluationOptions& options,
                         const std::string& tokens_from) {
  const int64_t context = loaded.config().max_position_embeddings;
  const Prompter prompter = PrompterOf(loaded, flags);
  std::vector<GenerationRequest> requests(problems.size());
  std::vector<std::string> openings;
  int64_t longest = 0;
  for (size_t p = 0; p < problems.size(); ++p) {
    Prompter::Prompt prompt = prompter.Of(problems[p]);
    requests[p].prompt = std::move(prompt.tokens);
    requests[p].samples = options.samples;
    requests[p].max_tokens = options.max_tokens;
    requests[p].sampling.temperature = options.temperature;
    requests[p].seed = options.seed;
    requests[p].stop_tokens = StopTokens(loaded.config());
    requests[p].never = loaded.silent_tokens();
    openings.push_back(std::move(prompt.opening));
    const auto tokens = static_cast<int64_t>(requests[p].prompt.size());
    if (tokens >= context) {
      Fail(
          "{}: the question has {} tokens in the model's chat template, but its context holds only "
          "{}, completion included; use shorter problems, or fewer shots",
          problems[p].where, tokens, context);
    }
    longest = std::max(longest, tokens);
  }
  SeparateStreams(requests);
  const std::string note = ContextNote(tokens_from, options.max_tokens, longest, context);
  if (!note.empty()) Note(note);
  Engine engine(loaded.model(), loaded.weights(), CacheForm::kExpanded,
                SlotsFor(static_cast<int64_t>(problems.size()), options.samples, options.slots),
                CapacityFor(longest, options.max_tokens, context));
  StatusLine status;
  std::vector<Sample> samples;
  const std::vector<Completion> completions = engine.Generate(requests, {}, [&](const EngineStep&) {
    status.Show(fmt::format("{} tokens generated", engine.stats().generated_tokens));
  });
  for (const Completion& completion : completions) {
    Sample sample;
    sample.problem = completion.request;
    sample.completion = completion.tokens;
    sample.truncated = completion.finish == FinishReason::kLength;
    std::vector<int32_t> text = completion.tokens;
    if (!sample.truncated) text.pop_back();
    sample.text = openings[completion.request] + loaded.tokenizer().Decode(text);
    samples.push_back(std::move(sample));
  }
  return samples;
}

// The figures that a way of reading answers changes.
Json Accuracies(const TaskEvaluation& evaluation) {
  Json part = ToJson(evaluation);
  for (const char* same : {"task", "problems", "samples", "truncated_rate", "mean_length"})
    part.erase(same);
  return part;
}

}  // namespace

void AskFlags::Register(Command command) {
  command
      .Add("--chat", chat,
           "--problems and --choices go through the model's chat template; auto: where it has one")
      .OneOf({"auto", "on", "off"});
  command.Add("--system", system, "what the model is told before all, in its chat template");
  command
      .Add("--thinking", thinking,
           "what a chat template is told that asks whether to think; auto: its own default")
      .OneOf({"auto", "on", "off"});
  command
      .Add("--answer", place,
           "where in a chat the model is asked to put its answer: within \\boxed{}, behind ####, "
           "in the tags of this program's own tasks, or as the last number")
      .OneOf(AnswerPlaceNames());
  command.AddFunction(
      "--instruction", [this](const std::string& text) { instruction = text; }, "TEXT",
      "what asks for --answer", "what follows each question in a chat; \"\" for nothing");
  command.Add("--shots", shots,
              "JSON Lines of questions with worked answers, which stand before each question in "
              "its chat");
}

bool AskFlags::Asks(const LoadedModel& loaded) const {
  const bool has_one = !loaded.chat_format().chat_template.empty();
  if (chat == "on" && !has_one) FailUsage("--chat on: {} has no chat template", loaded.path());
  const bool asks = has_one && chat != "off";
  if (!asks && !(shots.empty() && system.empty() && !instruction)) {
    FailUsage("--shots, --system and --instruction are for a chat, but {}",
              has_one ? "--chat is off" : loaded.path() + " has no chat template");
  }
  return asks;
}

Conversation::Options AskFlags::Talk() const {
  Conversation::Options talk{.system = system, .dated = false};
  if (thinking != "auto") talk.thinks = thinking == "on";
  return talk;
}

PromptOptions AskFlags::Prompt() const {
  PromptOptions prompt{.form = chat == "auto" ? "auto"
                               : chat == "on" ? "chat"
                                              : "plain",
                       .system = system,
                       .thinking = thinking};
  if (instruction) prompt.instruction = *instruction;
  return prompt;
}

Json EvaluateAsked(const LoadedModel& loaded, Environment& environment, const AskFlags& flags,
                   std::optional<Rule> rule, const EvaluationOptions& options,
                   const std::string& tokens_from) {
  Validate(options);
  const AnswerPlace place = ParseAnswerPlace(flags.place);
  const std::vector<Problem> problems = environment.HeldOut(options.problems).front();
  std::vector<Sample> samples = Draw(loaded, flags, problems, options, tokens_from);
  if (!rule) {
    std::vector<Answer> answers;
    for (const Sample& sample : samples)
      answers.push_back({&problems[sample.problem], sample.text});
    const std::vector<Score> scores = environment.ScoreAll(answers, {});
    for (size_t i = 0; i < samples.size(); ++i) samples[i].score = scores[i];
    return ToJson(Summarize(problems, samples, options.samples));
  }
  const auto read = [&](const auto& score) {
    for (Sample& sample : samples)
      sample.score = score(place, *rule, sample.text, problems[sample.problem].answer);
    return Summarize(problems, samples, options.samples);
  };
  Json result = ToJson(read(ScoreStrictly));
  result["answer"] = flags.place;
  result["lenient"] = Accuracies(read(ScoreLeniently));
  return result;
}

}  // namespace darkhorse
