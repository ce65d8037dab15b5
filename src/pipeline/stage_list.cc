#include "pipeline/stage_list.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checksums.h"
#include "checkpoint/run_directory.h"
#include "pipeline/run_format.h"
#include "pipeline/stage_changes.h"
#include "pipeline/world.h"
#include "report/report.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTokenizer[] = "tokenizer.json";
constexpr char kData[] = "data";
constexpr char kMeasured[] = "measured.json";  // of each evaluation what it is of

class StageRun {
 public:
  // `recorded`: the run's recipe is this one already; else it is recorded once a stage has accepted
  // it.
  StageRun(const StagesRecipe& recipe, const std::string& run, StageListCallbacks& tell,
           bool recorded)
      : recipe_(recipe), run_(run), tell_(tell), recorded_(recorded) {}

  void Record() {
    if (!recorded_) RecordRecipe(run_, ToToml(recipe_));
    recorded_ = true;
  }

  // Throws Interruption where it is stopped.
  void Run(StageListResult* result) {
    RequirePaths();
    NoteUnseenTasks();
    for (const StageRecipe& stage : recipe_.stages) {
      LeaveIfAsked(tell_.stop);
      if (std::holds_alternative<MeasureRecipe>(stage.recipe)) {
        result->scores.emplace_back(stage.head.name, Measure(stage));
        continue;
      }
      if (IsReplaced(stage)) {
        models_[stage.head.name] = recipe_.model;
        continue;
      }
      if (tell_.on_begin) tell_.on_begin(stage);
      Note(fmt::format("{}: {}", stage.head.name, Work(stage)));
      std::visit([&](const auto& own) { Do(stage.head, own); }, stage.recipe);
      if (tell_.on_end) tell_.on_end(stage, Folder(stage.head.name));
      if (models_.contains(stage.head.name)) result->model = models_[stage.head.name];
    }
  }

 private:
  void Note(const std::string& text) const {
    if (tell_.on_note) tell_.on_note(text);
  }
  // What a stage does, for people; in the order of its variant.
  static std::string Work(const StageRecipe& stage) {
    const char* const works[] = {"pretraining",  "sampling answers",
                                 "fine-tuning",  "reinforcement learning",
                                 "distillation", "measuring on held-out problems"};
    return works[stage.recipe.index()];
  }
  std::string Folder(const std::string& name) const { return run_ + "/" + name; }
  // Of a stage, or the path itself.
  std::string ModelOf(const std::string& name) const {
    if (name == kGivenModel) return recipe_.model;
    const auto found = models_.find(name);
    return found == models_.end() ? name : found->second;
  }

  template <typename Result>
  void Keep(const StageHead& head, const Result& result) {
    if (!result.finished) throw Interruption();
    models_[head.name] = result.checkpoint;
  }

  // A stage has accepted the recipe and made a step. What was measured of its model before is of
  // another.
  void ModelChanges(const StageHead& head) {
    Record();
    for (const StageRecipe& other : recipe_.stages) {
      if (std::holds_alternative<MeasureRecipe>(other.recipe) && other.head.from == head.name)
        std::filesystem::remove(ScoresOf(other));
    }
  }
  // The caller's callbacks; a step done is noticed here first.
  template <typename Callbacks>
  Callbacks Watched(const StageHead& head, const Callbacks& given) {
    Callbacks callbacks = given;
    callbacks.on_step = [this, &head, told = given.on_step](const auto& metrics) {
      ModelChanges(head);
      if (told) told(metrics);
    };
    callbacks.on_note = tell_.on_note;
    callbacks.written = ReportFiles();
    callbacks.stop = tell_.stop;
    return callbacks;
  }
  SampleCallbacks Sampling() const {
    SampleCallbacks callbacks = tell_.sampling;
    callbacks.on_note = tell_.on_note;
    callbacks.stop = tell_.stop;
    return callbacks;
  }

  void Do(const StageHead& head, const PretrainRecipe& own) {
    if (head.data.empty()) MakeWorld();
    const std::string data = head.data.empty() ? Folder(kData) : head.data.front();
    Keep(head,
         Pretrain(own, data, Folder(head.name), /*resume=*/true, Watched(head, tell_.pretraining)));
  }
  void Do(const StageHead& head, const ReinforceRecipe& own) {
    ReinforceRecipe taught = own;
    if (!head.teacher.empty()) taught.teacher.model = ModelOf(head.teacher);
    // The last, not the best: best/ was chosen on the very problems that it would be measured on.
    Keep(head, Reinforce(taught, ModelOf(head.from), Folder(head.name), /*resume=*/true,
                         Watched(head, tell_.reinforcement)));
  }
  void Do(const StageHead& head, const FinetuneRecipe& own) {
    std::vector<std::string> data;
    for (const std::string& name : head.data) {
      const auto chats = chats_.find(name);
      data.push_back(chats == chats_.end() ? name : chats->second);
    }
    KeepBest(head, Finetune(own, ModelOf(head.from), data, Folder(head.name), /*resume=*/true,
                            Watched(head, tell_.finetuning)));
  }
  void Do(const StageHead& head, const SampleRecipe& own) {
    const SampleResult result =
        SampleAnswers(own, ModelOf(head.from), Folder(head.name), /*resume=*/true, Sampling());
    if (!result.finished) throw Interruption();
    chats_[head.name] = result.chats;
  }
  void Do(const StageHead& head, const DistilRecipe& own) {
    const DistilResult result =
        Distil(own, ModelOf(head.teacher), ModelOf(head.from), Folder(head.name),
               {Sampling(), Watched(head, tell_.finetuning)});
    if (!result.finished) throw Interruption();
    KeepBest(head, result.finetuning);
  }
  void Do(const StageHead&, const MeasureRecipe&) {}  // Measure

  void KeepBest(const StageHead& head, const FinetuneResult& result) {
    Keep(head, result);
    if (!result.best_checkpoint.empty()) models_[head.name] = result.best_checkpoint;
  }

  // The tokenizer and the shards that pretraining learns from.
  void MakeWorld() {
    const CorpusMix mix = recipe_.corpus.Mix();
    const std::string tokenizer = Folder(kTokenizer);
    if (!FileExists(tokenizer)) {
      Note("training the tokenizer");
      MakeTokenizer(mix, recipe_.corpus, recipe_.vocab_size, recipe_.digits_per_token, tokenizer);
    }
    if (FileExists(Folder(kData) + "/" + kTrainShard)) return;
    Note("writing the corpus");
    MakeCorpus(mix, recipe_.corpus, tokenizer, Folder(kData), tell_.on_corpus, tell_.stop);
  }

  std::string ScoresOf(const StageRecipe& stage) const { return Folder(stage.head.name) + ".json"; }
  Json Measure(const StageRecipe& stage) {
    const std::string path = ScoresOf(stage);
    const std::string model = ModelOf(stage.head.from);
    const std::string inputs = InputsOf(std::get<MeasureRecipe>(stage.recipe), model);
    Json known = KnownInputs();
    if (FileExists(path)) {
      if (known.value(stage.head.name, inputs) != inputs) {
        Fail("{}: is of another model or of other problems; remove it, and it is measured anew",
             path);
      }
      Note(fmt::format("{} is measured already", stage.head.name));
      return ReadScores(path);
    }
    if (tell_.on_begin) tell_.on_begin(stage);
    Note(fmt::format("{}: {}", stage.head.name, Work(stage)));
    const Json scores = MeasureModel(model, TrainedFormat(model, "", /*note=*/{}),
                                     std::get<MeasureRecipe>(stage.recipe),
                                     {.on_scores =
                                          [&](const TaskEvaluation& e) {
                                            if (tell_.on_scores)
                                              tell_.on_scores(stage.head.name, e);
                                          },
                                      .on_faults = tell_.on_faults,
                                      .on_thought =
                                          [&](const Problem& problem, const Sample& sample) {
                                            if (tell_.on_thought)
                                              tell_.on_thought(stage.head.name, problem, sample);
                                          },
                                      .on_note = tell_.on_note,
                                      .stop = tell_.stop});
    // What says how this was measured is there before it.
    Record();
    known[stage.head.name] = inputs;
    WriteFileAtomically(Folder(kMeasured), known.dump(1) + "\n");
    WriteFileAtomically(path, scores.dump());
    if (tell_.on_end) tell_.on_end(stage, path);
    return scores;
  }

  // What the scores of an evaluation are of, beside its recipe.
  static std::string InputsOf(const MeasureRecipe& own, const std::string& model) {
    std::string inputs = HexU64(CheckpointFingerprint(model));
    if (!own.problems.file.empty()) inputs += " " + HexU64(Checksum64(ReadFile(own.problems.file)));
    return inputs;
  }
  Json KnownInputs() const {
    const std::string path = Folder(kMeasured);
    if (!FileExists(path)) return Json::object();
    const auto known = TryParseJson<Json>(ReadFile(path));
    const bool sound = known && known->is_object() &&
                       std::ranges::all_of(*known, [](const Json& x) { return x.is_string(); });
    if (!sound) Fail("{}: is damaged; remove it, and the scores beside it", path);
    return *known;
  }

  // By the recipe's model.
  bool IsReplaced(const StageRecipe& stage) const {
    if (recipe_.model.empty()) return false;
    const auto first = std::ranges::find_if(recipe_.stages, [](const StageRecipe& other) {
      return std::holds_alternative<PretrainRecipe>(other.recipe);
    });
    return first != recipe_.stages.end() && &*first == &stage;
  }

  // Whether the field names who answers, which may be a server.
  static bool AsksTeacher(const StageRecipe& stage, std::string_view field) {
    return std::holds_alternative<SampleRecipe>(stage.recipe)
               ? field == "from"
               : std::holds_alternative<DistilRecipe>(stage.recipe) && field == "teacher";
  }

  // What a late stage reads is better missed before the first.
  void RequirePaths() const {
    const auto require = [&](const StageRecipe& stage, const char* field, const std::string& path) {
      const bool is_stage = std::ranges::any_of(
          recipe_.stages, [&](const StageRecipe& other) { return other.head.name == path; });
      if (path.empty() || is_stage || path == kGivenModel || FileExists(path)) return;
      if (IsUrl(path) && AsksTeacher(stage, field)) return;
      Fail(
          "stage {}: {} is {}, and there is no such file or folder; paths are seen from where the "
          "program runs",
          stage.head.name, field, path);
    };
    if (!recipe_.model.empty() && !FileExists(recipe_.model))
      Fail("model is {}, and there is no such file or folder", recipe_.model);
    for (const StageRecipe& stage : recipe_.stages) {
      if (IsReplaced(stage)) continue;
      require(stage, "from", stage.head.from);
      require(stage, "teacher", stage.head.teacher);
      for (const std::string& data : stage.head.data) require(stage, "data", data);
      StageRecipe copy = stage;
      if (const auto asking = AskingOf(copy); asking.problems)
        require(stage, "problems.file", asking.problems->file);
    }
  }

  // A model does what its text showed it sometimes, and nothing else.
  void NoteUnseenTasks() const {
    // Of problems in a file it is not known whether the corpus has their like.
    std::set<std::string> seen;
    for (const TaskShare& share : recipe_.corpus.Mix().tasks) seen.insert(share.task);
    for (const StageRecipe& stage : recipe_.stages) {
      const auto* own = std::get_if<ReinforceRecipe>(&stage.recipe);
      if (!own || !own->problems.file.empty() || !IsOfTheCorpus(stage)) continue;
      std::set<std::string> unseen;
      for (const WeightedTask& entry : ParseMixture(own->rl.tasks)) {
        if (!seen.contains(std::string(entry.task->Name())))
          unseen.insert(std::string(entry.task->Name()));
      }
      if (unseen.empty()) continue;
      Note(fmt::format(
          "warning: {} works on {}, of which the corpus has nothing (it has {}), so its model will "
          "hardly ever be right; name the same tasks in corpus.tasks and {}.rl.tasks",
          stage.head.name, fmt::join(unseen, ", "), fmt::join(seen, ", "), stage.head.name));
    }
  }
  // Whether the stage's model goes back to one that the run pretrains on its corpus.
  bool IsOfTheCorpus(const StageRecipe& stage) const {
    if (std::holds_alternative<PretrainRecipe>(stage.recipe))
      return !IsReplaced(stage) && stage.head.data.empty();
    for (const StageRecipe& other : recipe_.stages) {
      if (other.head.name == stage.head.from &&
          !std::holds_alternative<MeasureRecipe>(other.recipe))
        return IsOfTheCorpus(other);
    }
    return false;
  }

  const StagesRecipe& recipe_;
  const std::string run_;
  StageListCallbacks& tell_;
  bool recorded_;
  std::map<std::string, std::string> models_, chats_;  // of the stages done
};

}  // namespace

StageListResult RunStageList(const StagesRecipe& recipe, const std::string& run,
                             StageListCallbacks& callbacks) {
  const RunLock lock(run);
  const bool is_there = FileExists(run + "/recipe.toml");
  std::vector<std::string> written = ReportFiles();
  written.insert(written.end(), {"best", kTokenizer, kData, kMeasured});
  const bool same = CheckStages(recipe, run, std::move(written));
  StageRun stages(recipe, run, callbacks, same);
  if (!is_there) stages.Record();
  StageListResult result;
  try {
    stages.Run(&result);
    stages.Record();
    result.finished = true;
  } catch (const Interruption&) {
    stages.Record();
  }
  return result;
}

}  // namespace darkhorse
