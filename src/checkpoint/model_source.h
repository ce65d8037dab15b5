// A model as its files have it, opened and checked, nothing read yet but what describes it: a
// folder of safetensors, or a GGUF file.
#pragma once

#include <memory>
#include <string>

#include "model/config.h"
#include "model/param_source.h"

namespace darkhorse {

class ModelSource : public ParamSource {
 public:
  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }
  virtual int64_t file_bytes() const = 0;  // of the weights

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

// Fills the layout's buffer, padding too, with zeros. The layout is that of the source's config.
void ReadWeights(const ParamSource& source, const ParamLayout& layout, float* weights);

}  // namespace darkhorse
