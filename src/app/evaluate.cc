// `darkhorse evaluate`: how good a model is, at text or at problems.
#include "app/evaluate.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "app/app.h"
#include "app/ask_flags.h"
#include "app/evaluate_choices.h"
#include "app/evaluate_text.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "app/unread.h"
#include "app/weights_flag.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "checkpoint/model_source.h"
#include "checkpoint/run_directory.h"
#include "data/prepare.h"
#include "pipeline/loaded_model.h"
#include "pipeline/recipe_around.h"
#include "rl/answers.h"
#include "rl/reinforce.h"

namespace darkhorse {
namespace {

struct EvaluateOptions {
  std::string model;
  WeightsFlag weights;
  std::string data;
  std::optional<int64_t>
      sequence_length;  // none: kSequence, or the model's context if that is less
  int64_t max_tokens = 1 << 20;
  TextFlags text;
  std::vector<std::string> tasks;
  ProblemFlags problem_flags;
  AskFlags ask;
  std::string choices;
  std::optional<int64_t> completion_tokens;
  std::string tokens_from = "--completion-tokens";  // what set evaluation.max_tokens
  EvaluationOptions evaluation;
  bool json = false;
};

constexpr int64_t kSequence = 512;

Json EvaluateShard(const EvaluateOptions& options, const LoadedModel& loaded) {
  const std::string held_out = options.data + "/" + kValidationShard;
  // A shard is named by itself, too.
  if (std::filesystem::is_directory(options.data) && !FileExists(held_out))
    RequirePrepared(options.data, kTrainShard);
  const std::string path = FileExists(held_out) ? held_out : options.data;
  if (FileExists(options.data + "/" + kTrainShard) && path != held_out) {
    Fail(
        "{}: has no {}, text held out; name a shard, such as {}/{}, or prepare the data with "
        "--validation-fraction above 0",
        options.data, kValidationShard, options.data, kTrainShard);
  }
  const TokenShard shard = TokenShard::Open(path, loaded.tokenizer().hash());
  const int64_t length = options.sequence_length.value_or(
      std::min(kSequence, loaded.config().max_position_embeddings));
  return DescribeLoss(path, EvaluateLoss(loaded.model(), loaded.weights(), shard, length,
                                         /*cross_documents=*/false, options.max_tokens));
}

int64_t LongestHeldOut(const Environment& environment, const EvaluateOptions& options,
                       const Prompter& prompter, int64_t context) {
  const auto held_out = environment.HeldOut(options.evaluation.problems);
  std::vector<const Problem*> problems;
  for (const auto& part : held_out) {
    for (const Problem& problem : part) problems.push_back(&problem);
  }
  return LongestPrompt(prompter, problems, context);
}

// Tells where completions have less room than was asked for.
void NoteContext(const Environment& environment, const EvaluateOptions& options,
                 const LoadedModel& loaded, const Prompter& prompter) {
  const int64_t context = loaded.config().max_position_embeddings;
  const std::string note =
      ContextNote(options.tokens_from, options.evaluation.max_tokens,
                  LongestHeldOut(environment, options, prompter, context), context);
  if (!note.empty()) Note(note);
}

// What is measured one after the other needs the most of any.
CacheNeed NeedOf(const EvaluateOptions& options,
                 const std::vector<const Environment*>& environments, const Prompter& prompter,
                 int64_t context) {
  CacheNeed need{.smaller_weights = kSmallerWeights};
  if (options.text.given()) {
    need.sequences = 1;
    need.tokens = std::min(options.text.Window(context), context);
    need.smaller_cache = "lower --window";
  }
  const EvaluationOptions& evaluation = options.evaluation;
  for (const Environment* environment : environments) {
    if (!environment) continue;
    const int64_t tokens = CapacityFor(LongestHeldOut(*environment, options, prompter, context),
                                       evaluation.max_tokens, context);
    const int64_t sequences = SlotsFor(evaluation.problems, evaluation.samples, evaluation.slots);
    if (sequences * tokens <= need.sequences * need.tokens) continue;
    need.sequences = sequences;
    need.tokens = tokens;
    need.smaller_cache = "lower --batch or --completion-tokens";
  }
  return need;
}

void TellFaults(Environment& environment, Json* result) {
  if (!environment.CanFail()) return;
  const ScoringFaults faults = environment.TakeFaults();
  (*result)["reward_program_failures"] = faults.samples;
  if (faults.samples > 0) Note(WithFlags(DescribeFaults(faults), ProblemFlags::Names()));
}

void EvaluateOn(Environment& environment, const EvaluateOptions& options, const LoadedModel& loaded,
                const Prompter& prompter, const ProblemsOptions& problems, Json* result) {
  NoteContext(environment, options, loaded, prompter);
  StatusLine status;
  for (const TaskEvaluation& evaluation :
       Evaluate(loaded.model(), loaded.weights(), prompter, environment, options.evaluation, {},
                nullptr, nullptr,
                [&](const EvaluationProgress& progress) { status.Show(ProgressText(progress)); })) {
    Json task = ToJson(evaluation);
    if (evaluation.lenient) task["answer"] = problems.answer;
    (*result)["tasks"].push_back(std::move(task));
  }
  TellFaults(environment, result);
}

// Which rows of --problems no training has seen. Of a model that was trained elsewhere all; of one
// of this program those that its run holds out, or any run where it is not told.
void TakeHeldOutShare(const EvaluateOptions& options, const std::optional<RecipeAround>& around,
                      ProblemsOptions* problems) {
  const ProblemFlags& flags = options.problem_flags;
  if (flags.file.empty() || flags.held_out_share) return;
  if (IsGgufPath(options.model) || !IsOwnFolder(options.model)) {
    problems->held_out_share = 1;
    return;
  }
  constexpr char kAll[] = "; --held-out-share 1 takes all";
  if (!around || around->recipe.problems.file.empty()) {
    Note(fmt::format(
        "measuring on a share of {} of {}, which runs hold out by default: the model was trained "
        "by this program, and no recipe around it tells on which problems{}",
        problems->held_out_share, flags.file, kAll));
    return;
  }
  const ProblemsOptions& run = around->recipe.problems;
  if (run.held_out_share == 0) {
    FailUsage("{}: holds no rows out (held_out_share = 0), so every one may have been trained on{}",
              around->path, kAll);
  }
  problems->held_out_share = run.held_out_share;
  std::error_code error;
  const bool same = std::filesystem::equivalent(run.file, flags.file, error);
  Note(fmt::format("measuring on a share of {} of {}, which {} holds out{}: other rows {}{}",
                   run.held_out_share, flags.file, around->path,
                   same ? "" : fmt::format(" of {}", run.file),
                   same ? "were trained on" : "may have been trained on", same ? "" : kAll));
}

// What the command line leaves open is as in the run that the model lies in: the length of its
// completions, how it is asked and, where nothing is named to measure on, its problems.
void TakeFromRun(EvaluateOptions& options, ProblemsOptions& problems, PromptOptions& prompt) {
  if (!std::filesystem::is_regular_file(options.model)) RequireCheckpoint(options.model);
  const auto around = FindRecipeAround(options.model);
  const bool named = !options.data.empty() || options.text.given() || !options.choices.empty() ||
                     !options.tasks.empty() || !problems.file.empty();
  if (!named && !around) {
    FailUsage(
        "evaluate: {} lies in no run whose tasks it could be measured on; give --data, for the "
        "loss on its held-out shard, or --text, --choices, --task or --problems, or several of "
        "them",
        options.model);
  }
  if (!named) {
    options.tasks = around->recipe.rl.tasks;
    problems = around->recipe.problems;
    options.problem_flags.Apply(&problems);
    if (!problems.file.empty()) options.tasks.clear();
    Note(fmt::format(
        "measuring on {}, as {} has it",
        problems.file.empty() ? fmt::format("{}", fmt::join(options.tasks, ", ")) : problems.file,
        around->path));
  }
  TakeHeldOutShare(options, around, &problems);
  if (around) {
    prompt = around->recipe.prompt;
    problems.answer = around->recipe.problems.answer;
    problems.words = around->recipe.problems.words;
    problems.script = around->recipe.problems.script;
    problems.script_weight = around->recipe.problems.script_weight;
  }
  if (options.ask.place != "auto") problems.answer = options.ask.place;
  if (options.ask.words != "auto") problems.words = options.ask.words;
  if (options.completion_tokens) {
    options.evaluation.max_tokens = *options.completion_tokens;
  } else if (around && (!options.tasks.empty() || !problems.file.empty())) {
    options.evaluation.max_tokens = around->recipe.rl.max_tokens;
    options.tokens_from = fmt::format("rl.max_tokens of {}", around->path);
    Note(fmt::format("completions have at most {}, as {} has it",
                     Counted(options.evaluation.max_tokens, "token"), around->path));
  } else {
    options.tokens_from = "the default of --completion-tokens";
  }
}

void Run(EvaluateOptions options) {
  ProblemsOptions problems;
  options.problem_flags.Apply(&problems);
  PromptOptions prompt;
  TakeFromRun(options, problems, prompt);
  const bool own = !problems.file.empty();
  if (own && problems.held_out_share == 0) {
    FailUsage("--held-out-share is 0, so there is nothing to evaluate on; 1 takes every problem");
  }
  if (!options.tasks.empty()) ParseMixture(options.tasks);  // before a model is read
  OpenedModel opened(options.model);
  prompt = options.ask.Prompt(prompt, opened);
  const bool chats = GoesThroughTemplate(prompt, opened.chat_format(), opened.path());
  problems = DecidedFor(problems, options.tasks, chats);
  const Prompter prompter(opened.Asked(), prompt, InstructionOf(problems), options.ask.Shots());
  std::unique_ptr<Environment> tasks, rows;
  if (!options.tasks.empty()) tasks = MakeTaskEnvironment(options.tasks, problems);
  if (own) {
    rows = MakeOwnEnvironment(
        problems, [](const std::string& text) { Note(WithFlags(text, ProblemFlags::Names())); });
  }
  const CacheNeed need =
      NeedOf(options, {tasks.get(), rows.get()}, prompter, opened.config().max_position_embeddings);
  const LoadedModel loaded(std::move(opened), options.weights.Of(options.model), need);
  Json result{{"model", options.model}};
  if (!options.data.empty()) result.update(EvaluateShard(options, loaded));
  if (options.text.given()) result["text"] = options.text.Measure(loaded, options.max_tokens);
  if (tasks) EvaluateOn(*tasks, options, loaded, prompter, problems, &result);
  if (rows) EvaluateOn(*rows, options, loaded, prompter, problems, &result);
  if (!options.choices.empty()) {
    result["choices"] =
        EvaluateChoices(loaded, options.choices, prompt, options.evaluation.problems);
  }
  PrintResult(result, options.json);
}

}  // namespace

Json DescribeLoss(const std::string& path, const EvaluationLoss& loss) {
  return {{"shard", path},
          {"loss", loss.loss},
          {"perplexity", std::exp(loss.loss)},
          {"tokens", loss.tokens}};
}

void RegisterEvaluate(Command app) {
  const auto options = std::make_shared<EvaluateOptions>();
  Command command = app.AddCommand(
      "evaluate", "How good a model is: loss, perplexity of a text, scores on problems");
  command.Add("model,--model", options->model, kModelFiles).Required();
  options->weights.Register(command, kTrainedWeights);
  command.Add("--data", options->data, "a shard, or a folder of `data prepare` (its val.bin)");
  command
      .Add("--sequence-length", options->sequence_length,
           "tokens of a sequence; by default 512, or the model's context if that is less")
      .Within(1, INT32_MAX);
  command.Add("--max-tokens", options->max_tokens, "of the shard or the text, for the loss")
      .Within(1, int64_t{1} << 40);
  options->text.Register(command);
  command.Add("--task", options->tasks,
              "name or name:level; may be repeated; without "
              "--data and --problems the default is the tasks of the run the model lies in");
  options->problem_flags.Register(command);
  command.Add(
      "--choices", options->choices,
      "JSON Lines of {\"question\", \"choices\": [...], \"answer\": index from 0}: how often "
      "the model finds the right choice the most probable");
  options->ask.Register(command);
  auto flags = AddFieldFlags(command, FieldsOf(options->evaluation),
                             {{"problems", "--count"}, {"max_tokens", ""}, {"slots", "--batch"}});
  flags.at("problems").Within(1, 1 << 20);
  flags.at("samples").Within(1, 1 << 20);
  command
      .Add("--completion-tokens", options->completion_tokens,
           fmt::format("longest completion (default: rl.max_tokens of the run the model lies in, "
                       "else {})",
                       kCompletionTokens))
      .Within(1, INT32_MAX);
  flags.at("slots").Within(1, kMaxBatch);
  AddJsonFlag(command, &options->json);
  command.Runs([options] { TellingFlags(ProblemFlags::Names(), [&] { Run(*options); }); });
}

}  // namespace darkhorse
