// A GGUF file, or a split one, as a source of a model (checkpoint/model_source.h).
#pragma once

#include "checkpoint/gguf_tensors.h"
#include "checkpoint/model_source.h"

namespace darkhorse {

class GgufSource : public ModelSource {
 public:
  explicit GgufSource(const std::string& path) : GgufSource(std::make_unique<GgufFiles>(path)) {}

  int64_t file_bytes() const override { return files_->size(); }
  Tokenizer ReadTokenizer() const override;
  std::string TokenizerJson(const Tokenizer& tokenizer) const override;
  ModelConfig TextConfig(const Tokenizer& tokenizer) const override;
  ChatFormat ReadChatFormat() const override;
  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override {
    tensors_.ReadRows(param, begin, count, out);
  }
  StoredRows Rows(const ParamSpec& param) const override { return tensors_.Rows(param); }

 private:
  explicit GgufSource(std::unique_ptr<const GgufFiles> files);

  std::unique_ptr<const GgufFiles> files_;
  GgufTensors tensors_;
};

}  // namespace darkhorse
