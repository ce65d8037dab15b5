// A run's directory: <run>/checkpoints/step-00000123/ and files that grow by a line per step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/checkpoint.h"

namespace darkhorse {

// "<run>/checkpoints/step-00000123"
std::string StepDirectory(const std::string& run, int64_t step);

// Publishes the checkpoint of state.step and then, only after that succeeded, removes all but the
// newest `keep` (>= 1) of the checkpoints up to this step. Returns its directory.
std::string PublishStep(const std::string& run, int64_t keep, const ModelConfig& config,
                        const ParamLayout& layout, const float* weights, const ModelFiles& files,
                        const TrainerState& state);

// "<run>/best": the model of a run's best measurement.
std::string BestDirectory(const std::string& run);
// Its CheckpointFingerprint in hexadecimal; "": there is none.
std::string BestFingerprint(const std::string& run);
// Killed between the writing of best/ and its next checkpoint, a run left there the model of a step
// that it does not know, and writes it again where it comes to that step. Removes best/ unless its
// fingerprint is this; whether there was one to remove.
bool RemoveStrayBest(const std::string& run, const std::string& fingerprint);

// While it lives no other process may write the run: Error if one does. Makes the directory.
class RunLock {
 public:
  explicit RunLock(const std::string& run);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

 private:
  int directory_;
};

// Whether the folder holds a model, or an adapter of one.
bool IsModelFolder(const std::string& directory);

// Error unless `directory` holds one. A run is easily taken for one of its checkpoints,
// so where it is a run or holds runs, its newest checkpoint is named; where there is no such
// directory, the checkpoints beside it are.
void RequireCheckpoint(const std::string& directory);

// How a new run is refused where one lies already: who resumes it goes on with it.
class RunIsThere : public Error {
 public:
  explicit RunIsThere(const std::string& run)
      : Error(fmt::format("{}: holds a run already; resume it, or choose another run directory",
                          run)) {}
};

// Throws that; of a run of another kind than the recipe `toml`, which cannot be gone on with, an
// Error that says so.
[[noreturn]] void RefuseNewRun(const std::string& run, const std::string& toml);

struct LatestCheckpoint {
  int64_t step = 0;
  std::string directory;
  std::vector<std::string> warnings;  // newer ones that were passed over, and why
};

// The newest checkpoint whose checksums hold; also removes what killed writers left. Empty if the
// run has none at all. Error if it has some and none is sound: starting over must be the user's
// decision.
std::optional<LatestCheckpoint> FindLatestCheckpoint(const std::string& run);

// The one field of a recipe that may change when its run goes on: how many steps there are.
struct StepsField {
  std::string path;          // "train.steps"
  int64_t done = 0;          // so many have been: it must become more
  std::string why_not = "";  // where it may not change any more, what stands in the way
};

// Error where <run>/metrics.jsonl tells of more steps than a run makes before its first checkpoint,
// for a run that has none: they are gone, and who begins it anew would lose what is left of it.
void RequireNoStepsBeyond(const std::string& run, int64_t checkpoint_every);

// What to tell who resumes a run that was begun and has no checkpoint; "" if it was not begun.
std::string ToldOfNoCheckpoint(const std::string& run);

// How a recipe differs from the one that its run was started with.
struct RecipeChange {
  std::string field, before, after;
  std::string Describe() const;  // for the user, of a steps field
};

// A run is what its recipe says, from first step to last. Where <run>/recipe.toml is there, throws
// an Error naming the first field that differs, but for those of `may_grow`, whose changes are
// returned, and for a file of the name it had in another place where `may_move` names its field;
// goes_on: it is this run's own, else that of whatever run lies there; defaults: a recipe with all
// fields as they are where nobody sets them, for the error. Error too where the recipe
// is missing but checkpoints, inputs, a tokenizer or one of the names in `written` are there: the
// files of another, which the run would overwrite or take for its own.
std::vector<RecipeChange> CheckRecipe(const std::string& run, const std::string& toml, bool goes_on,
                                      const std::vector<std::string>& written,
                                      const std::vector<StepsField>& may_grow = {},
                                      const std::vector<std::string>& may_move = {},
                                      const std::string& defaults = "");

// Writes <run>/recipe.toml, whole or not at all; to be called after CheckRecipe.
void RecordRecipe(const std::string& run, const std::string& toml);

// What a run reads besides its recipe: a name, and a checksum of the content.
using RunInputs = std::vector<std::pair<std::string, uint64_t>>;

// Writes <run>/inputs.json; for a run that goes on and has one, throws an Error naming the first
// input that is not what it was. Where the inputs lie does not matter.
void RecordInputs(const std::string& run, const RunInputs& inputs, bool goes_on);

// Leaves in a JSON Lines file only whole lines whose integer "step" is at most last_step, in one
// atomic replacement; what a killed run wrote after its last checkpoint goes. A missing file stays
// missing.
void TruncateJsonLines(const std::string& path, int64_t last_step);

}  // namespace darkhorse
