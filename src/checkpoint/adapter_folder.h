// An adapter's folder, as PEFT has it: adapter_config.json, which names the base model's path, and
// adapter_model.safetensors; beside them, of this program's, the tokenizer and chat template.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "model/adapter.h"

namespace darkhorse {

inline constexpr const char* kAdapterConfig = "/adapter_config.json";

// Whether the folder holds an adapter.
bool IsAdapterFolder(const std::string& directory);

// Writes both files. `values` has the layout's buffer_size().
void WriteAdapter(const std::string& directory, const AdapterFiles& adapter,
                  const ParamLayout& layout, const float* values);

// A base model and an adapter of it. As a ParamSource it is the model with the adapter's products
// in its weights: W + scale * B . A, in f32, with DoRA each row then brought to its magnitude.
class AdapterSource : public ModelSource {
 public:
  // Error naming the file, what is wrong and the cure: a base that is not there or another model, a
  // kind of adapter that is not read (biases, trained copies of modules), a tensor of another
  // shape.
  static std::unique_ptr<AdapterSource> Open(const std::string& directory);

  const ModelSource& base() const { return *base_; }
  const AdapterFiles& files() const { return files_; }
  const ParamLayout& layout() const { return layout_; }
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
  ChatFormat ReadChatFormat() const override;
  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override;
  StoredRows Rows(const ParamSpec& param) const override;

 private:
  AdapterSource(std::string directory, std::unique_ptr<ModelSource> base, AdapterFiles files,
                ParamLayout layout, const SafetensorsFile& tensors);

  std::unique_ptr<ModelSource> base_;
  AdapterFiles files_;
  ParamLayout layout_;
  std::vector<float> values_;
};

}  // namespace darkhorse
