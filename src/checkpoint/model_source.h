// A model as its files have it: a folder of safetensors, a GGUF file, or either with an adapter.
// Opened and checked; nothing is read yet but what describes it.
#pragma once

#include <memory>
#include <string>

#include "model/config.h"
#include "model/param_source.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace darkhorse {

class AdapterSource;  // checkpoint/adapter_folder.h

class ModelSource : public ParamSource {
 public:
  const std::string& path() const { return path_; }
  // As the files say, but for where texts begin and end (TextConfig).
  const ModelConfig& config() const { return config_; }
  virtual int64_t file_bytes() const = 0;  // of the weights
  // Itself where it is a base model and an adapter; else null.
  virtual const AdapterSource* adapter() const { return nullptr; }

  // Error where there is none, or one of another model.
  virtual Tokenizer ReadTokenizer() const = 0;
  // The same as a tokenizer.json, to go beside the weights of what is trained from this.
  virtual std::string TokenizerJson(const Tokenizer& tokenizer) const = 0;
  // The configuration with bos_token_id, eos_token_id and stop_token_ids in this program's meaning:
  // what a text begins with, and what ends it, files and tokenizer taken together.
  virtual ModelConfig TextConfig(const Tokenizer& tokenizer) const = 0;
  virtual ChatFormat ReadChatFormat() const = 0;

 protected:
  ModelSource(std::string path, ModelConfig config)
      : path_(std::move(path)), config_(std::move(config)) {}

 private:
  std::string path_;
  ModelConfig config_;
};

// Opens what is at `path`. Its checksums, where there are any, have been verified and its tensors
// compared with the configuration: what follows may allocate what the configuration asks for. Error
// naming the file, what is wrong with it and the cure.
std::unique_ptr<ModelSource> OpenModel(const std::string& path);

// The tokenizer of a tokenizer.json, of a folder that holds one, or of a GGUF file.
Tokenizer LoadTokenizer(const std::string& path);

// Whether `path` is a file that begins as GGUF files do.
bool IsGgufPath(const std::string& path);

// Whether `path` is meant to be a model: such a file, one that is named like a model's (OpenModel
// tells what is wrong with it), or a folder of one or of an adapter.
bool IsModelPath(const std::string& path);

// Whether this program wrote the folder.
bool IsOwnFolder(const std::string& directory);

// Fills the layout's buffer, padding too, with zeros. The layout is that of the source's config.
void ReadWeights(const ParamSource& source, const ParamLayout& layout, float* weights);

}  // namespace darkhorse
