// A checkpoint: a directory that Hugging Face tools read (docs/formats.md), with the trainer's
// state beside the model. Published whole or not at all; verified when read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/checksums.h"
#include "checkpoint/safetensors.h"
#include "kernel/bf16.h"
#include "model/config.h"
#include "model/params.h"

namespace darkhorse {

// Of an adapter (checkpoint/adapter_folder.h), what goes beside its tensors.
struct AdapterFiles {
  std::string base;                          // path of the base model
  std::optional<uint64_t> base_fingerprint;  // its CheckpointFingerprint; none: not kept
  int64_t rank = 0;
  double alpha = 0;
  bool root_scale = false;  // its product counts alpha / sqrt(rank) times, not alpha / rank
  bool dora = false;        // with magnitudes
  double scale() const;
};

// What goes beside the weights. Texts are written as they are.
struct ModelFiles {
  DType dtype = DType::kF32;   // or kBf16: how matrices are stored
  std::string tokenizer_json;  // none if empty
  std::string chat_template;   // Jinja; none if empty
  // Its Tokenizer::hash, kept with the weights, which know no other; none: it is not kept.
  std::optional<uint64_t> tokenizer_hash;
  std::optional<AdapterFiles> adapter;  // then the weights are an adapter's
};

// What the trainer needs to go on exactly. `json` is one JSON object (recipe, counters); numbers
// survive exactly, white space does not.
struct TrainerState {
  int64_t step = 0;
  std::string json = "{}";
  // In file order: first these, then the ones in bf16.
  std::vector<std::pair<std::string, std::span<const float>>> tensors;
  std::vector<std::pair<std::string, std::span<const Bf16>>> rounded = {};
};

// Writes model, tokenizer and, unless null, the trainer's state with their checksums, and publishes
// them at `directory` at once; what stood there before is replaced. `weights` has the layout's
// buffer_size(). Error if the disk fails; `directory` is then as it was.
void PublishCheckpoint(const std::string& directory, const ModelConfig& config,
                       const ParamLayout& layout, const float* weights, const ModelFiles& files,
                       const TrainerState* state);

// Of config.json and, where there is one, generation_config.json.
ModelConfig LoadModelConfig(const std::string& directory);

// The same after the model's checksums, where there are any, have been verified and the tensors
// compared with the configuration. Error naming the first missing, unknown or misshapen tensor and
// how many there are. Copies of the embedding and head that published checkpoints carry in MTP
// modules are passed over.
ModelConfig LoadVerifiedModelConfig(const std::string& directory);

// A folder without tokenizer.json: a caller may add how one is made.
class NoTokenizer : public Error {
 public:
  explicit NoTokenizer(const std::string& directory)
      : Error(fmt::format(
            "{}: holds no tokenizer.json; copy there the one that belongs to it, or make one",
            directory)) {}
};

// The bytes of tokenizer.json in a folder of a model or of data. NoTokenizer if it has none.
std::string LoadTokenizerJson(const std::string& directory);

// Under which name a safetensors file of weights keeps that hash.
inline constexpr const char* kTokenizerHash = "tokenizer_xxh64";

// The hash of the tokenizer that the weights in this folder were trained with; none where they do
// not say: of another program, or an older version.
std::optional<uint64_t> TokenizerHashOf(const std::string& directory);

// Error where that is known and is not `hash`, that of the tokenizer.json there.
void RequireOwnTokenizer(const std::string& directory, uint64_t hash);

// The trainer's state as saved; Error if the checkpoint has none.
class SavedTrainerState {
 public:
  explicit SavedTrainerState(const std::string& directory);
  int64_t step() const { return step_; }
  const std::string& json() const { return json_; }
  // Copies a tensor; Error unless it is there with exactly out.size() elements of this format.
  void Read(const std::string& name, std::span<float> out) const;
  void Read(const std::string& name, std::span<Bf16> out) const;

 private:
  const TensorView& Find(const std::string& name, size_t size, DType dtype) const;

  std::string directory_;
  int64_t step_ = 0;
  std::string json_;
  SafetensorsFile tensors_;
};

}  // namespace darkhorse
