#include "pipeline/sampling.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "checkpoint/checksums.h"
#include "checkpoint/run_directory.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"
#include "pipeline/run_format.h"
#include "pipeline/sample_card.h"
#include "rl/answers.h"
#include "rl/log.h"
#include "rl/own_problems.h"
#include "train/metrics.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

int64_t LinesIn(const std::string& path) {
  if (!FileExists(path)) return 0;
  const std::string text = ReadFile(path);
  return std::ranges::count(text, '\n');
}

// Cuts what a killed process left of a last line. Returns how many there are. Error: one of them is
// not the answers to the problem of its number.
int64_t WholeLinesIn(const std::string& path) {
  if (!FileExists(path)) return 0;
  const std::string text = ReadFile(path);
  const std::string whole = text.substr(0, text.rfind('\n') + 1);
  int64_t lines = 0;
  for (size_t begin = 0; begin < whole.size(); begin = whole.find('\n', begin) + 1) {
    const std::string_view line(whole.data() + begin, whole.find('\n', begin) - begin);
    const auto json = TryParseJson<Json>(line);
    ++lines;
    if (!json || !json->is_object() || json->value("step", Json()) != Json(lines))
      Fail("{}:{}: is damaged; sample anew, in another folder", path, lines);
  }
  if (whole != text) WriteFileAtomically(path, whole);
  return lines;
}

class SamplingRun {
 public:
  SamplingRun(const SampleRecipe& recipe, OpenedModel opened, const std::string& out,
              const SampleCallbacks& callbacks)
      : recipe_(recipe),
        options_(recipe.sample),
        problems_options_(Decided(recipe, opened)),
        out_(out),
        callbacks_(callbacks),
        prompter_(opened.Asked(), recipe.prompt, InstructionOf(problems_options_)),
        environment_(MakeEnvironment(
            options_.tasks, problems_options_, [this](const std::string& text) { Note(text); },
            callbacks.stop)),
        problems_(Draw()),
        format_(FormatFor(opened)),
        need_(Need(opened)),
        opened_(std::move(opened)) {
    if (writes_traces() && prompter_.chats()) {
      FailUsage("sample.writer is traces, which {} cannot be asked for: it has a chat template",
                opened_.path());
    }
    const auto problems = static_cast<int64_t>(problems_.size());
    if (writes_traces() || LinesIn(out + "/" + sample_files::kSamples) >= problems) return;
    model_.emplace(OpenedModel(opened_.path()), format_, need_);
    engine_.emplace(model_->model(), model_->weights(), CacheForm::kExpanded, need_.sequences,
                    need_.tokens);
  }

  void Record(bool goes_on);
  SampleResult Loop();

 private:
  static ProblemsOptions Decided(const SampleRecipe& recipe, const OpenedModel& opened) {
    const bool chats = GoesThroughTemplate(recipe.prompt, opened.chat_format(), opened.path());
    return DecidedFor(recipe.problems, recipe.sample.tasks, chats);
  }
  void Note(const std::string& text) const {
    if (callbacks_.on_note) callbacks_.on_note(text);
  }
  std::optional<Format> FormatFor(const OpenedModel& opened) const {
    if (options_.weights != "auto") return ParseRunFormat(options_.weights);
    return TrainedFormat(opened.path(), "sample.weights = \"f32\"",
                         [this](const std::string& text) { Note(text); });
  }
  CacheNeed Need(const OpenedModel& opened) const;
  std::vector<Problem> Draw() const;
  Json Asked(const Problem& problem) const;
  bool writes_traces() const { return options_.writer == "traces"; }
  std::vector<Sample> Answers(const std::vector<Problem>& problems);
  std::vector<Sample> Traces(const std::vector<Problem>& problems);
  void SampleSome(JsonLinesFile& file);

  const SampleRecipe& recipe_;  // as it was given, and is recorded
  const SampleOptions& options_;
  const ProblemsOptions problems_options_;  // with all that they leave to the model said
  const std::string out_;
  const SampleCallbacks& callbacks_;
  const Prompter prompter_;
  const std::unique_ptr<Environment> environment_;
  const std::vector<Problem> problems_;
  const std::optional<Format> format_;  // of the weights
  const CacheNeed need_;
  const OpenedModel opened_;
  std::optional<LoadedModel> model_;  // where there is something for it to answer
  std::optional<Engine> engine_;
  SampleProgress progress_;
};

// Each problem once: of a file the rows to learn from, in an order of the seed's; of tasks as they
// are drawn.
std::vector<Problem> SamplingRun::Draw() const {
  int64_t rows = static_cast<int64_t>(environment_->AllProblems().size());
  int64_t wanted = options_.problems > 0 ? options_.problems : kTaskProblems;
  if (rows > 0) {
    for (const auto& held_out : environment_->HeldOut(rows))
      rows -= static_cast<int64_t>(held_out.size());
    wanted = options_.problems > 0 ? std::min(options_.problems, rows) : rows;
  }
  // Small levels have few problems: they are looked for so long.
  constexpr int64_t kDrawsPerProblem = 64;
  const int64_t draws = rows > 0 ? rows : wanted * kDrawsPerProblem;
  std::vector<Problem> problems;
  std::set<std::string> seen;
  for (int64_t i = 0; i < draws && static_cast<int64_t>(problems.size()) < wanted; ++i) {
    Problem problem = environment_->TrainingProblem(options_.seed, static_cast<uint64_t>(i));
    if (seen.insert(problem.prompt).second) problems.push_back(std::move(problem));
  }
  if (problems.empty())
    Fail("{}: all its problems are held out; lower problems.held_out_share", recipe_.problems.file);
  const int64_t asked = options_.problems > 0 ? options_.problems : wanted;
  if (static_cast<int64_t>(problems.size()) < asked)
    Note(fmt::format("there are {} different problems, {} were asked for", problems.size(), asked));
  return problems;
}

CacheNeed SamplingRun::Need(const OpenedModel& opened) const {
  const int64_t context = opened.config().max_position_embeddings;
  std::vector<const Problem*> all;
  for (const Problem& problem : problems_) all.push_back(&problem);
  const int64_t longest = LongestPrompt(prompter_, all, context);
  if (const std::string note =
          ContextNote("sample.max_tokens", options_.max_tokens, longest, context);
      !note.empty())
    Note(note);
  return {.sequences = SlotsFor(options_.problems_at_once, options_.samples, options_.slots),
          .tokens = CapacityFor(longest, options_.max_tokens, context),
          .smaller_cache = "lower sample.slots or sample.max_tokens",
          .smaller_weights = "sample.weights = \"q4\""};
}

Json SamplingRun::Asked(const Problem& problem) const {
  Json messages = Json::array();
  if (!recipe_.prompt.system.empty())
    messages.push_back({{"role", "system"}, {"content", recipe_.prompt.system}});
  messages.push_back({{"role", "user"}, {"content", prompter_.Worded(problem)}});
  return messages;
}

void SamplingRun::Record(bool goes_on) {
  RunInputs inputs = {{"model", CheckpointFingerprint(opened_.path())}};
  if (!recipe_.problems.file.empty())
    inputs.emplace_back("problems", StableHash(environment_->Fingerprint()));
  // A new run has its recipe before anything else; of one that goes on nothing is written where
  // they differ.
  if (!goes_on) RecordRecipe(out_, ToToml(recipe_));
  RecordInputs(out_, inputs, goes_on);
  if (goes_on) RecordRecipe(out_, ToToml(recipe_));
}

std::vector<Sample> SamplingRun::Answers(const std::vector<Problem>& problems) {
  const StepCallback on_step = [&](const EngineStep& step) {
    progress_.tokens += step.sampled;
    if (callbacks_.on_tokens) callbacks_.on_tokens(progress_.tokens);
  };
  return Rollout(*engine_, prompter_, StopTokens(opened_.config()), problems, *environment_,
                 {.samples = options_.samples,
                  .max_tokens = options_.max_tokens,
                  .sampling = options_.sampling(),
                  .seed = options_.seed,
                  .stream = static_cast<uint64_t>(progress_.done * options_.samples),
                  .on_step = on_step},
                 callbacks_.stop);
}

// What the corpus has of such problems, but for those that give up, and in the order in which
// nothing need be remembered.
std::vector<Sample> SamplingRun::Traces(const std::vector<Problem>& problems) {
  TraceStyle style;
  style.give_up = {0};
  style.max_attempts = 1000;
  style.ordered = 1;
  style.straight = 0;
  std::vector<Sample> samples;
  std::vector<Answer> answers;
  for (size_t p = 0; p < problems.size(); ++p) {
    for (int64_t i = 0; i < options_.samples; ++i) {
      const int64_t draw = (progress_.done + static_cast<int64_t>(p)) * options_.samples + i;
      RandomSequence random(options_.seed, RandomStream::kSample, static_cast<uint64_t>(draw));
      Sample sample{.problem = p};
      sample.text = FindTask(problems[p].task).WorkedTrace(problems[p], style, random);
      sample.completion = opened_.tokenizer().EncodeDocument(-1, sample.text, /*special=*/true);
      sample.completion.push_back(static_cast<int32_t>(opened_.config().eos_token_id));
      sample.truncated = static_cast<int64_t>(sample.completion.size()) > options_.max_tokens;
      progress_.tokens += static_cast<int64_t>(sample.completion.size());
      samples.push_back(std::move(sample));
    }
  }
  for (const Sample& sample : samples) answers.push_back({&problems[sample.problem], sample.text});
  std::vector<Score> scores = environment_->ScoreAll(answers, callbacks_.stop);
  for (size_t i = 0; i < samples.size(); ++i) samples[i].score = std::move(scores[i]);
  return samples;
}

void SamplingRun::SampleSome(JsonLinesFile& file) {
  const double start = SteadySeconds();
  const auto begin = problems_.begin() + progress_.done;
  const std::vector<Problem> some(
      begin, begin + std::min(options_.problems_at_once, progress_.problems - progress_.done));
  const std::vector<Sample> samples = writes_traces() ? Traces(some) : Answers(some);
  for (size_t p = 0; p < some.size(); ++p) {
    const auto first = samples.begin() + static_cast<int64_t>(p) * options_.samples;
    const std::vector<Sample> own(first, first + options_.samples);
    for (const Sample& sample : own) progress_.right += sample.score.correct;
    file.AppendLine(JsonLine(AnswersLine(++progress_.done, some[p], Asked(some[p]), own)));
  }
  file.Sync();
  progress_.here += static_cast<int64_t>(some.size());
  progress_.samples += static_cast<int64_t>(samples.size());
  progress_.seconds += SteadySeconds() - start;
  if (const ScoringFaults faults = environment_->TakeFaults();
      faults.samples > 0 && callbacks_.on_faults)
    callbacks_.on_faults(faults);
  if (callbacks_.on_progress) callbacks_.on_progress(progress_);
}

SampleResult SamplingRun::Loop() {
  const std::string path = out_ + "/" + sample_files::kSamples;
  progress_.done = WholeLinesIn(path);
  progress_.problems = static_cast<int64_t>(problems_.size());
  SampleResult result{.problems = progress_.problems};
  if (progress_.done > 0)
    Note(fmt::format("{} of {} problems are sampled already", progress_.done, progress_.problems));
  try {
    if (progress_.done < progress_.problems) {
      // What it says of fewer problems is no longer so.
      std::filesystem::remove(out_ + "/" + sample_files::kCard);
      JsonLinesFile file(path);
      while (progress_.done < progress_.problems) {
        LeaveIfAsked(callbacks_.stop);
        SampleSome(file);
      }
    }
    result.chats = out_ + "/" + sample_files::kChats;
    result.selection = SelectAnswers(recipe_, path, result.chats);
    WriteFileAtomically(out_ + "/" + sample_files::kCard,
                        SampleCard(recipe_, opened_.path(), result.selection));
    result.finished = true;
  } catch (const Interruption&) {
    Note(fmt::format("stopped; the answers to {} of {} problems are saved", progress_.done,
                     progress_.problems));
  }
  result.done = progress_.done;
  return result;
}

}  // namespace

SampleResult SampleAnswers(const SampleRecipe& recipe, const std::string& model,
                           const std::string& out, bool resume, const SampleCallbacks& callbacks) {
  Validate(recipe);
  std::optional<RunLock> lock;  // of a new folder only when nothing is wrong with what it needs
  if (FileExists(out)) lock.emplace(out);
  const std::string samples = out + "/" + sample_files::kSamples;
  const bool goes_on = LinesIn(samples) > 0 && FileExists(out + "/recipe.toml");
  if (goes_on && !resume) throw RunIsThere(out);
  std::vector<StepsField> may_grow;
  if (goes_on) may_grow.push_back({"sample.problems", LinesIn(samples)});
  CheckRecipe(out, ToToml(recipe), goes_on,
              {sample_files::kSamples, sample_files::kChats, sample_files::kCard}, may_grow,
              {"problems.file"});
  std::optional<SamplingRun> run;
  try {
    run.emplace(recipe, OpenedModel(model), out, callbacks);
    if (!lock) lock.emplace(out);
    run->Record(goes_on);
  } catch (const Interruption&) {
    if (callbacks.on_note) callbacks.on_note("stopped before the first problem");
    return {};
  }
  return run->Loop();
}

}  // namespace darkhorse
