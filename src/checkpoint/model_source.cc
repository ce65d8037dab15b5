#include "checkpoint/model_source.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
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

namespace {

// The first bytes of a file, as many as it has of them.
std::string Beginning(const std::string& path, size_t bytes) {
  std::string text(bytes, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(bytes));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// Of a file that is no GGUF file.
[[noreturn]] void FailNoModel(const std::string& path) {
  const std::string begins = Beginning(path, 64);
  if (begins.empty()) Fail("{}: is empty; fetch it again", path);
  if (begins.starts_with("version https://git-lfs")) {
    Fail("{}: is Git LFS's pointer to the file, not the file; fetch it with `git lfs pull`", path);
  }
  if (begins.starts_with("<")) {
    Fail("{}: is a web page, not a model; fetch the file that the page is about", path);
  }
  if (path.ends_with(".safetensors") || (begins.size() > 8 && begins.compare(8, 2, "{\"") == 0)) {
    Fail("{}: is one file of a model; name the folder that holds it with config.json and the rest",
         path);
  }
  Fail(
      "{}: does not begin with 'GGUF', so it is no GGUF file; name one, or the folder of a "
      "checkpoint",
      path);
}

}  // namespace

Tokenizer LoadTokenizer(const std::string& path) {
  if (IsGgufPath(path)) return LoadGgufTokenizer(GgufFile(path, GgufExtent::kHead).keys());
  return Tokenizer::Load(path);
}

bool IsGgufPath(const std::string& path) {
  return std::filesystem::is_regular_file(path) && Beginning(path, 4) == "GGUF";
}

bool IsModelPath(const std::string& path) {
  const auto names_one = [&] { return path.ends_with(".gguf") || path.ends_with(".safetensors"); };
  return IsGgufPath(path) || IsModelFolder(path) ||
         (std::filesystem::is_regular_file(path) && names_one());
}

bool IsOwnFolder(const std::string& directory) {
  return FileExists(directory + "/checksums.json") || TokenizerHashOf(directory).has_value();
}

std::unique_ptr<ModelSource> OpenModel(const std::string& path) {
  if (IsGgufPath(path)) return std::make_unique<GgufSource>(path);
  if (std::filesystem::is_regular_file(path)) FailNoModel(path);
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
