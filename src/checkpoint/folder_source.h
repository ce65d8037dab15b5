// A folder of Hugging Face's files as a source of a model (checkpoint/model_source.h).
#pragma once

#include "checkpoint/model_source.h"
#include "checkpoint/safetensors.h"

namespace darkhorse {

class FolderSource : public ModelSource {
 public:
  explicit FolderSource(const std::string& directory);

  int64_t file_bytes() const override;
  Tokenizer ReadTokenizer() const override;
  std::string TokenizerJson(const Tokenizer& tokenizer) const override;
  ModelConfig TextConfig(const Tokenizer& tokenizer) const override;
  // chat_template.jinja, or that of tokenizer_config.json: of several the one named "default".
  ChatFormat ReadChatFormat() const override;
  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override;
  StoredRows Rows(const ParamSpec& param) const override;

 private:
  const CheckpointTensors::Entry& EntryOf(const ParamSpec& param) const;

  CheckpointTensors tensors_;
};

}  // namespace darkhorse
