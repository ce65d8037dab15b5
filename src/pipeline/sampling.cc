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
#include "base/format.h"
#include "base/json.h"
#include "checkpoint/run_directory.h"
#include "pipeline/answer_writer.h"
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
  SamplingRun(const SampleRecipe& recipe, const std::string& model, const std::string& out,
              const SampleCallbacks& callbacks)
      : SamplingRun(recipe, model,
                    IsUrl(model) ? std::nullopt : std::optional<OpenedModel>(std::in_place, model),
                    out, callbacks) {}

  void Record(bool goes_on);
  SampleResult Loop();

 private:
  SamplingRun(const SampleRecipe& recipe, const std::string& model,
              std::optional<OpenedModel> opened, const std::string& out,
              const SampleCallbacks& callbacks)
      : recipe_(recipe),
        options_(recipe.sample),
        decided_(Decided(recipe, opened)),
        out_(out),
        callbacks_(callbacks),
        environment_(MakeEnvironment(
            options_.tasks, decided_, [this](const std::string& text) { Note(text); },
            callbacks.stop)),
        problems_(Draw()),
        writer_(MakeWriter(model, std::move(opened))) {
    const auto problems = static_cast<int64_t>(problems_.size());
    if (LinesIn(out + "/" + sample_files::kSamples) < problems) writer_->Prepare();
  }

  static ProblemsOptions Decided(const SampleRecipe& recipe,
                                 const std::optional<OpenedModel>& opened) {
    const bool chats =
        !opened || GoesThroughTemplate(recipe.prompt, opened->chat_format(), opened->path());
    return DecidedFor(recipe.problems, recipe.sample.tasks, chats);
  }
  void Note(const std::string& text) const {
    if (callbacks_.on_note) callbacks_.on_note(text);
  }
  std::vector<Problem> Draw() const;
  std::unique_ptr<AnswerWriter> MakeWriter(const std::string& model,
                                           std::optional<OpenedModel> opened);
  void SampleSome(JsonLinesFile& file);

  const SampleRecipe& recipe_;  // as it was given, and is recorded
  const SampleOptions& options_;
  const ProblemsOptions decided_;  // with all that they leave to the model said
  const std::string out_;
  const SampleCallbacks& callbacks_;
  const std::unique_ptr<Environment> environment_;
  const std::vector<Problem> problems_;
  const std::unique_ptr<AnswerWriter> writer_;
  SampleProgress progress_;
  int64_t generated_ = 0;  // tokens, while answers are written
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
    Note(fmt::format("found {}, {} were asked for",
                     Counted(std::ssize(problems), "different problem"), asked));
  return problems;
}

std::unique_ptr<AnswerWriter> SamplingRun::MakeWriter(const std::string& model,
                                                      std::optional<OpenedModel> opened) {
  const AnswerWork work{recipe_,
                        decided_,
                        problems_,
                        *environment_,
                        [this](const std::string& text) { Note(text); },
                        [this](int64_t tokens) {
                          generated_ += tokens;
                          if (callbacks_.on_tokens) callbacks_.on_tokens(generated_);
                        },
                        callbacks_.stop};
  if (!opened) return MakeRemoteWriter(work, model, callbacks_.teachers);
  if (options_.writer == "traces") return MakeTraceWriter(work, *std::move(opened));
  return MakeModelWriter(work, *std::move(opened));
}

void SamplingRun::Record(bool goes_on) {
  RunInputs inputs = {{"model", writer_->Fingerprint()}};
  if (!recipe_.problems.file.empty())
    inputs.emplace_back("problems", StableHash(environment_->Fingerprint()));
  // A new run has its recipe before anything else; of one that goes on nothing is written where
  // they differ.
  if (!goes_on) RecordRecipe(out_, ToToml(recipe_));
  RecordInputs(out_, inputs, goes_on);
  if (goes_on) RecordRecipe(out_, ToToml(recipe_));
}

void SamplingRun::SampleSome(JsonLinesFile& file) {
  const double start = SteadySeconds();
  const int64_t first = progress_.done;
  const int64_t count = std::min(options_.problems_at_once, progress_.problems - first);
  const std::vector<WrittenAnswer> answers = writer_->Answer(first, count);
  const auto samples = static_cast<size_t>(options_.samples);
  for (const WrittenAnswer& answer : answers) {
    progress_.right += answer.score.correct;
    progress_.tokens += answer.tokens;
  }
  for (int64_t p = 0; p < count; ++p) {
    const Problem& problem = problems_[static_cast<size_t>(first + p)];
    file.AppendLine(JsonLine(
        AnswersLine(++progress_.done, problem, MessagesOf(recipe_.prompt, writer_->Worded(problem)),
                    std::span(answers).subspan(static_cast<size_t>(p) * samples, samples))));
  }
  file.Sync();
  progress_.here += count;
  progress_.samples += static_cast<int64_t>(answers.size());
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
    Note(fmt::format("{} of {} {} sampled already", progress_.done,
                     Counted(progress_.problems, "problem"), progress_.done == 1 ? "is" : "are"));
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
                        SampleCard(recipe_, writer_->Name(), writer_->Shown(), result.selection));
    result.finished = true;
  } catch (const Interruption&) {
    Note(fmt::format("stopped; the answers to {} of {} are saved", progress_.done,
                     Counted(progress_.problems, "problem")));
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
  if (goes_on && !resume) RefuseNewRun(out, ToToml(recipe));
  std::vector<StepsField> may_grow;
  if (goes_on) may_grow.push_back({"sample.problems", LinesIn(samples)});
  CheckRecipe(out, ToToml(recipe), goes_on,
              {sample_files::kSamples, sample_files::kChats, sample_files::kCard}, may_grow,
              {"problems.file", "sample.key_file"}, ToToml(SampleRecipe()));
  std::optional<SamplingRun> run;
  try {
    run.emplace(recipe, model, out, callbacks);
    if (!lock) lock.emplace(out);
    run->Record(goes_on);
  } catch (const Interruption&) {
    if (callbacks.on_note) callbacks.on_note("stopped before the first problem");
    return {};
  }
  return run->Loop();
}

}  // namespace darkhorse
