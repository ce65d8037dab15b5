#include "checkpoint/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/checksum.h"
#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "checkpoint/checksums.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";
constexpr char kInputs[] = "inputs.json";

std::string CheckpointsOf(const std::string& run) { return run + "/checkpoints"; }

std::set<int64_t> ListSteps(const std::string& run) {
  std::set<int64_t> steps;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(CheckpointsOf(run), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || name.size() > 24) continue;
    if (name.find_first_not_of("0123456789", kPrefix.size()) != std::string::npos) continue;
    if (name.size() == kPrefix.size()) continue;
    int64_t step = 0;
    if (std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step).ec !=
        std::errc()) {
      continue;
    }
    // Only the one spelling that StepDirectory uses.
    if (fs::path(StepDirectory(run, step)).filename() == name) steps.insert(step);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    FailSystem("list", CheckpointsOf(run), error.value());
  }
  return steps;
}

// Of the run in `directory`, or of runs in folders of it, the checkpoint that was written last; ""
// where there is none.
std::string NewestCheckpoint(const std::string& directory) {
  std::vector<std::string> runs = {directory};
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (entry.is_directory(error)) runs.push_back(entry.path().string());
  }
  std::string newest;
  fs::file_time_type newest_time;
  for (const std::string& run : runs) {
    const std::set<int64_t> steps = ListSteps(run);
    if (steps.empty()) continue;
    const std::string checkpoint = StepDirectory(run, *steps.rbegin());
    const fs::file_time_type time = fs::last_write_time(checkpoint, error);
    if (!newest.empty() && time <= newest_time) continue;
    newest = checkpoint;
    newest_time = time;
  }
  return newest;
}

// The folders beside `directory` that hold a model, by name: the last of them, where there are
// many.
// "" if there is none.
std::string CheckpointsBeside(const std::string& directory) {
  constexpr size_t kMost = 8;
  std::vector<std::string> names;
  std::error_code error;
  const fs::path parent = fs::path(directory).parent_path();
  for (const fs::directory_entry& entry :
       fs::directory_iterator(parent.empty() ? "." : parent, error)) {
    if (IsModelFolder(entry.path().string()))
      names.push_back(Printable(entry.path().filename().string()));
  }
  std::ranges::sort(names);
  const size_t left_out = names.size() - std::min(names.size(), kMost);
  return fmt::format(
      "{}{}", left_out == 0 ? "" : Counted(static_cast<int64_t>(left_out), "other") + ", ",
      fmt::join(names.begin() + static_cast<ptrdiff_t>(left_out), names.end(), ", "));
}

constexpr char kModelFiles[] = "config.json, model.safetensors and tokenizer.json";

[[noreturn]] void FailNoDirectory(std::string directory) {
  while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
  if (directory.ends_with(".gguf")) Fail("{}: no such file", directory);
  const fs::path parent = fs::path(directory).parent_path();
  const fs::path run = parent.filename() == "checkpoints" ? parent.parent_path() : parent;
  const std::string beside = CheckpointsBeside(directory);
  const std::string best =
      IsModelFolder((run / "best").string()) && run != parent ? (run / "best").string() : "";
  if (!beside.empty() || !best.empty())
    Fail("{}: no such checkpoint; there are {}{}{}", directory, beside,
         beside.empty() || best.empty() ? "" : ", ", best);
  if (const std::string newest = NewestCheckpoint(run.empty() ? "." : run.string());
      !newest.empty() && !run.empty())
    Fail("{}: no such checkpoint; the newest of {} is {}", directory, run.string(), newest);
  // "Qwen/Qwen2.5-0.5B"
  const bool of_a_hub = directory.starts_with("hf.co/") ||
                        directory.starts_with("huggingface.co/") ||
                        directory.starts_with("https://") ||
                        (std::ranges::count(directory, '/') == 1 && directory.front() != '/' &&
                         directory.front() != '.' && !FileExists(parent.string()));
  if (of_a_hub)
    Fail(
        "{}: no such folder, and nothing is downloaded; fetch the model and name its folder, which "
        "holds {}",
        directory, kModelFiles);
  Fail("{}: no such folder; name one that holds {}", directory, kModelFiles);
}

std::string RecipePath(const std::string& run) { return run + "/recipe.toml"; }

// "new/../old": what lies in old would only be seen once new is made.
void RefuseRoundabout(const std::string& run) {
  std::error_code error;
  const std::string meant = fs::weakly_canonical(run, error).string();
  if (!error && !FileExists(run) && FileExists(meant))
    Fail("{}: leads through a folder that does not exist; name {} itself", run, meant);
}

// Every run has its recipe before anything else.
void RefuseFilesOfAnother(const std::string& run, const std::vector<std::string>& written) {
  RefuseRoundabout(run);
  // A tokenizer lies in folders of data and of models.
  std::vector<std::string> names = {"checkpoints", kInputs, "tokenizer.json"};
  names.insert(names.end(), written.begin(), written.end());
  for (const std::string& name : names) {
    if (!FileExists(run + "/" + name)) continue;
    Fail(
        "{}: holds other files ({}) and no recipe.toml, so it is no run to go on with; choose "
        "another run directory",
        run, name);
  }
}

struct Growth {
  RecipeChange change;
  int64_t done;
};

// A field of a recipe: the section it stands in, "" or "[train]", its name, and its value as
// written.
struct RecipeField {
  std::string section, name, value;
  std::string path() const {
    return section.empty() ? name : section.substr(1, section.size() - 2) + "." + name;
  }
  std::string InSection() const { return section.empty() ? "" : " in " + section; }
};

std::vector<RecipeField> FieldsOfRecipe(const std::string& toml) {
  std::vector<RecipeField> fields;
  std::istringstream lines(toml);
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('[')) {
      section = line;
    } else if (!line.empty()) {
      const size_t equals = line.find(" = ");
      fields.push_back(
          {section, line.substr(0, equals), equals == line.npos ? "" : line.substr(equals + 3)});
    }
  }
  return fields;
}

const RecipeField* FindField(const std::vector<RecipeField>& fields, const RecipeField& other) {
  const auto found = std::ranges::find_if(fields, [&](const RecipeField& f) {
    return f.section == other.section && f.name == other.name;
  });
  return found == fields.end() ? nullptr : &*found;
}

// What a run is by a section of its recipe that no other kind's has.
constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
    {"[[stage]]", "a run of several stages"},
    {"[train]", "a pretraining run"},
    {"[finetune]", "a fine-tuning run"},
    {"[rl]", "a run of reinforcement learning"},
    {"[sample]", "answers of a teacher"}};

std::string_view KindOf(const std::vector<RecipeField>& recipe) {
  for (const auto& [section, kind] : kKinds) {
    if (std::ranges::count(recipe, section, &RecipeField::section) > 0) return kind;
  }
  return "";
}

void RefuseAnotherKind(const std::string& run, const std::vector<RecipeField>& before,
                       const std::vector<RecipeField>& now) {
  const std::string_view was = KindOf(before), is = KindOf(now);
  if (was.empty() || is.empty() || was == is) return;
  Fail("{}: holds {}, by its recipe.toml, and cannot hold {}; choose another folder", run, was, is);
}

// Whether both are a path that ends in the same name. Values are quoted.
bool IsMoved(const std::string& before, const std::string& now) {
  const auto name = [](const std::string& value) {
    return fs::path(value.substr(1, value.size() - 2)).filename();
  };
  return before.starts_with('"') && now.starts_with('"') && name(before) == name(now);
}

void RequireMoreThanDone(const std::string& path, const Growth& growth,
                         const std::string& why_not) {
  const RecipeChange& change = growth.change;
  if (!why_not.empty())
    Fail("{}: {} was {} and is now {}, but {}; set it back, or choose another run directory", path,
         change.field, change.before, change.after, why_not);
  int64_t steps = 0;
  std::from_chars(change.after.data(), change.after.data() + change.after.size(), steps);
  if (steps > growth.done) return;
  Fail(
      "{}: {} was {} and is now {}, but {} {} done; set it to more than that, or choose another "
      "run directory",
      path, change.field, change.before, change.after, Counted(growth.done, "step"),
      growth.done == 1 ? "is" : "are");
}

std::optional<int64_t> StepOf(std::string_view line) {
  const auto object = TryParseJson<nlohmann::json>(line);
  if (!object || !object->is_object()) return std::nullopt;
  const auto step = object->find("step");
  if (step == object->end() || !step->is_number_integer()) return std::nullopt;
  return step->get<int64_t>();
}

// Calls each(line), the end of the line included, for all whole lines of a file; returns its text.
template <typename Each>
std::string ReadLines(const std::string& path, const Each& each) {
  std::string text = ReadFile(path);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    each(std::string_view(text.data() + begin, end + 1 - begin));
  return text;
}

}  // namespace

std::string StepDirectory(const std::string& run, int64_t step) {
  return fmt::format("{}/{}{:08}", CheckpointsOf(run), kPrefix, step);
}

std::string PublishStep(const std::string& run, int64_t keep, const ModelConfig& config,
                        const ParamLayout& layout, const float* weights, const ModelFiles& files,
                        const TrainerState& state) {
  CHECK(keep >= 1);
  const std::string directory = StepDirectory(run, state.step);
  PublishCheckpoint(directory, config, layout, weights, files, &state);
  const std::set<int64_t> steps = ListSteps(run);
  int64_t kept = 0;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    // Later ones are of an abandoned future, perhaps damaged: they must not crowd out good ones.
    if (*step <= state.step && ++kept > keep) RemoveDirectory(StepDirectory(run, *step));
  }
  return directory;
}

std::string RecipeChange::Describe() const {
  return fmt::format("recipe changed: {} {} -> {}", field, before, after);
}

void RequireNoStepsBeyond(const std::string& run, int64_t checkpoint_every) {
  const std::string path = run + "/metrics.jsonl";
  if (!FileExists(RecipePath(run)) || !FileExists(path)) return;
  int64_t last = 0;
  ReadLines(path, [&](std::string_view line) { last = std::max(last, StepOf(line).value_or(0)); });
  if (last <= checkpoint_every) return;
  Fail(
      "{}: the run came to step {}, and its checkpoints are gone; bring them back, or choose "
      "another "
      "run directory",
      run, last);
}

std::string ToldOfNoCheckpoint(const std::string& run) {
  if (!FileExists(RecipePath(run))) return "";
  return fmt::format("{} has no checkpoint: starting from the first step", run);
}

void RefuseNewRun(const std::string& run, const std::string& toml) {
  if (const std::string path = RecipePath(run); FileExists(path))
    RefuseAnotherKind(run, FieldsOfRecipe(ReadFile(path)), FieldsOfRecipe(toml));
  throw RunIsThere(run);
}

std::vector<RecipeChange> CheckRecipe(const std::string& run, const std::string& toml, bool goes_on,
                                      const std::vector<std::string>& written,
                                      const std::vector<StepsField>& may_grow,
                                      const std::vector<std::string>& may_move,
                                      const std::string& defaults) {
  const std::string path = RecipePath(run);
  if (!FileExists(path)) {
    RefuseFilesOfAnother(run, written);
    return {};
  }
  std::vector<RecipeChange> changes;
  const std::vector<RecipeField> before = FieldsOfRecipe(ReadFile(path)),
                                 now = FieldsOfRecipe(toml), standard = FieldsOfRecipe(defaults);
  RefuseAnotherKind(run, before, now);
  const bool known = std::ranges::any_of(
      now, [&](const RecipeField& field) { return FindField(before, field) != nullptr; });
  if (!known) {
    Fail(
        "{}: is no recipe of this program, so this is no run to go on with; choose another run "
        "directory",
        path);
  }
  const std::string_view whose = goes_on ? "was started" : "in this folder was started";
  // A recipe is written whole, so that only another version has other fields.
  const auto refuse_version = [&](const RecipeField& field, std::string_view had) {
    Fail(
        "{}: the run {} by a version of this program whose recipes {} '{}'{}; go on with that "
        "version, or choose another run directory",
        path, whose, had, field.name, field.InSection());
  };
  for (const RecipeField& field : now) {
    const RecipeField* then = FindField(before, field);
    if (!then) refuse_version(field, "have no");
    if (then->value == field.value) continue;
    const auto grows = std::ranges::find(may_grow, field.path(), &StepsField::path);
    if (grows != may_grow.end()) {
      RequireMoreThanDone(path, {{field.path(), then->value, field.value}, grows->done},
                          grows->why_not);
      changes.push_back({field.path(), then->value, field.value});
    } else if (std::ranges::count(may_move, field.path()) == 0 ||
               !IsMoved(then->value, field.value)) {
      const RecipeField* unset = FindField(standard, field);
      Fail(
          "{0}: the run {1} with '{2} = {3}'{4}, now it is '{2} = {5}'{6}; go on with the run's "
          "own recipe, that file, or choose another run directory",
          path, whose, field.name, then->value, field.InSection(), field.value,
          unset && unset->value == field.value ? ", the default" : "");
    }
  }
  for (const RecipeField& field : before) {
    if (!FindField(now, field)) refuse_version(field, "have");
  }
  return changes;
}

void RecordRecipe(const std::string& run, const std::string& toml) {
  MakeDirectories(run);
  const std::string path = RecipePath(run);
  if (!FileExists(path) || ReadFile(path) != toml) WriteFileAtomically(path, toml);
}

void RecordInputs(const std::string& run, const RunInputs& inputs, bool goes_on) {
  using nlohmann::ordered_json;
  const std::string path = run + "/" + kInputs;
  ordered_json now = ordered_json::object();
  for (const auto& [name, checksum] : inputs) now[name] = HexU64(checksum);
  // Without a checkpoint nothing has come of earlier inputs.
  if (!goes_on || !FileExists(path)) {
    MakeDirectories(run);
    WriteFileAtomically(path, now.dump(1) + "\n");
    return;
  }
  const nlohmann::json before = ParseJsonObject(ReadFile(path), path);
  const auto go_back = [&](const std::string& what) {
    Fail(
        "{}: the run was started with {}; go on with what it was started with, or choose another "
        "run directory",
        path, what);
  };
  for (const auto& [name, checksum] : inputs) {
    if (!before.contains(name)) go_back("no " + name);
    if (JsonString(before, name, path) != HexU64(checksum)) go_back("another " + name);
  }
  for (const auto& [name, checksum] : before.items()) {
    if (!now.contains(name)) go_back(Printable(name) + ", which is missing now");
  }
}

std::string BestDirectory(const std::string& run) { return run + "/best"; }

std::string BestFingerprint(const std::string& run) {
  const std::string best = BestDirectory(run);
  return FileExists(best) ? HexU64(CheckpointFingerprint(best)) : "";
}

bool RemoveStrayBest(const std::string& run, const std::string& fingerprint) {
  if (!FileExists(BestDirectory(run)) || BestFingerprint(run) == fingerprint) return false;
  RemoveDirectory(BestDirectory(run));
  return true;
}

RunLock::RunLock(const std::string& run) {
  RefuseRoundabout(run);
  MakeDirectories(run);
  directory_ = open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_ < 0) FailSystem("open", run, errno);
  // A file system that has no locks gives none: then nothing is known, and nothing refused.
  if (flock(directory_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(directory_);
    Fail("{}: another process is at work in it; wait for its end, or choose another run directory",
         run);
  }
}

RunLock::~RunLock() { close(directory_); }

bool IsModelFolder(const std::string& directory) {
  return FileExists(directory + "/config.json") || FileExists(directory + "/adapter_config.json");
}

void RequireCheckpoint(const std::string& directory) {
  if (IsModelFolder(directory)) return;
  if (!FileExists(directory)) FailNoDirectory(directory);
  if (!fs::is_directory(directory)) Fail("{}: is a file; name a checkpoint's directory", directory);
  const std::string parent = fs::path(directory).parent_path().string();
  if (fs::path(directory).filename() == "checkpoints" && !parent.empty()) {
    if (const std::string newest = NewestCheckpoint(parent); !newest.empty())
      Fail("{}: holds checkpoints; the newest is {}", directory, newest);
  }
  if (const std::string newest = NewestCheckpoint(directory); !newest.empty())
    Fail("{}: is a run, not a checkpoint; its newest checkpoint is {}", directory, newest);
  Fail("{}: holds no config.json; name a folder that holds {}", directory, kModelFiles);
}

std::optional<LatestCheckpoint> FindLatestCheckpoint(const std::string& run) {
  RemoveLeftovers(CheckpointsOf(run));
  LatestCheckpoint latest;
  const std::set<int64_t> steps = ListSteps(run);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    latest.step = *step;
    latest.directory = StepDirectory(run, *step);
    try {
      if (VerifyChecksums(latest.directory, Verify::kModelAndTrainer)) return latest;
      latest.warnings.push_back(
          fmt::format("{}: passed over: checksums.json is missing", latest.directory));
    } catch (const Error& error) {
      latest.warnings.push_back(fmt::format("passed over: {}", error.what()));
    }
  }
  if (latest.warnings.empty()) return std::nullopt;
  Fail(
      "{}: none of the checkpoints ({}) is sound; restore one from a copy or start a new run in "
      "another directory (the newest: {})",
      CheckpointsOf(run), latest.warnings.size(), latest.warnings.front());
}

void TruncateJsonLines(const std::string& path, int64_t last_step) {
  if (!FileExists(path)) return;
  std::string kept;
  const std::string text = ReadLines(path, [&](std::string_view line) {
    if (StepOf(line).value_or(INT64_MAX) <= last_step) kept += line;
  });
  if (kept != text) WriteFileAtomically(path, kept);
}

}  // namespace darkhorse
