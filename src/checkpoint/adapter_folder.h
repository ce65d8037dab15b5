// An adapter's folder, as PEFT has it: adapter_config.json, which names the base model's path, and
// adapter_model.safetensors; beside them, of this program's, the tokenizer and chat template.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "model/adapter.h"

namespace darkhorse {

inline constexpr const char* kAdapterConfig = "/adapter_config.json";

// Whether the folder holds an adapter.
bool IsAdapterFolder(const std::string& directory);

// PEFT's names of the layers that have pairs, in the order of the layout.
std::vector<std::string> TargetModules(const ParamLayout& layout);

// Writes both files. `values` has the layout's buffer_size().
void WriteAdapter(const std::string& directory, const AdapterFiles& adapter,
                  const ParamLayout& layout, const float* values);

// What a folder holds, read for a base.
struct AdapterPairs {
  AdapterFiles files;
  ParamLayout layout;
  std::vector<float> values;  // a buffer of the layout
};

// Reads an adapter of this base, whatever path its folder names. Error naming the file, what is
// wrong and the cure: another base's, a kind of adapter that is not read (biases, trained copies of
// modules), a tensor of another shape, numbers that are not finite.
AdapterPairs ReadAdapter(const std::string& directory, const ModelSource& base);
// Of which pairs it is; no number is read. Error as of the files' heads.
ParamLayout ReadAdapterLayout(const std::string& directory, const ModelSource& base);
// The chat template of the folder, or where it has none the base's.
ChatFormat AdapterChatFormat(const std::string& directory, const ModelSource& base);

// A base model and an adapter of it. As a ParamSource it is the model with the adapter's products
// in its weights: W + scale * B . A, in f32, with DoRA each row then brought to its magnitude.
class AdapterSource : public ModelSource {
 public:
  // Error as ReadAdapter's, and where the base that the folder names is not there.
  static std::unique_ptr<AdapterSource> Open(const std::string& directory);

  const ModelSource& base() const { return *base_; }
  const AdapterPairs& pairs() const { return pairs_; }
  const AdapterFiles& files() const { return pairs_.files; }
  const ParamLayout& layout() const { return pairs_.layout; }
  void ReadValues(float* values) const;  // a buffer of the layout

  const AdapterSource* adapter() const override { return this; }
  int64_t file_bytes() const override;
  Tokenizer ReadTokenizer() const override { return base_->ReadTokenizer(); }
  std::string TokenizerJson(const Tokenizer& tokenizer) const override {
    return base_->TokenizerJson(tokenizer);
  }
  ModelConfig TextConfig(const Tokenizer& tokenizer) const override {
    return base_->TextConfig(tokenizer);
  }
  ChatFormat ReadChatFormat() const override { return AdapterChatFormat(path(), *base_); }
  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override;
  StoredRows Rows(const ParamSpec& param) const override;

 private:
  AdapterSource(std::string directory, std::unique_ptr<ModelSource> base, AdapterPairs pairs)
      : ModelSource(std::move(directory), base->config()),
        base_(std::move(base)),
        pairs_(std::move(pairs)) {}

  std::unique_ptr<ModelSource> base_;
  AdapterPairs pairs_;
};

}  // namespace darkhorse
