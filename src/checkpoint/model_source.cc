#include "checkpoint/model_source.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/folder_source.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/gguf_tokenizer.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {

Tokenizer LoadTokenizer(const std::string& path) {
  if (IsGgufPath(path)) return LoadGgufTokenizer(GgufFile(path, GgufExtent::kHead).keys());
  return Tokenizer::Load(path);
}

bool IsGgufPath(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  const MappedFile file(path);
  return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
}

bool IsModelPath(const std::string& path) { return IsGgufPath(path) || IsModelFolder(path); }

bool IsOwnFolder(const std::string& directory) {
  return FileExists(directory + "/checksums.json") || TokenizerHashOf(directory).has_value();
}

std::unique_ptr<ModelSource> OpenModel(const std::string& path) {
  if (IsGgufPath(path)) return std::make_unique<GgufSource>(path);
  if (std::filesystem::is_regular_file(path))
    Fail("{}: is a file, but no GGUF file; name one, or the directory of a checkpoint", path);
  if (IsAdapterFolder(path)) return AdapterSource::Open(path);
  return std::make_unique<FolderSource>(path);
}

void ReadWeights(const ParamSource& source, const ParamLayout& layout, float* weights) {
  constexpr int64_t kRows = 256;
  struct Part {
    const ParamInfo* param;
    int64_t begin, count;
  };
  std::vector<Part> parts;
  for (const ParamInfo& param : layout.params()) {
    for (int64_t begin = 0; begin < param.shape[0]; begin += kRows)
      parts.push_back({&param, begin, std::min(kRows, param.shape[0] - begin)});
  }
  ParallelFor(static_cast<int64_t>(parts.size()), [&](int64_t i) {
    const auto& [param, begin, count] = parts[static_cast<size_t>(i)];
    source.ReadRows(*param, begin, count,
                    weights + param->offset + begin * (param->size / param->shape[0]));
  });
  float* end = weights;  // of what has been filled
  for (const ParamInfo& param : layout.params()) {
    std::fill(end, weights + param.offset, 0.0f);
    end = weights + param.offset + param.size;
  }
  std::fill(end, weights + layout.buffer_size(), 0.0f);
}

}  // namespace darkhorse
