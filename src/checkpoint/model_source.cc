#include "checkpoint/model_source.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "checkpoint/block_scales.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"

namespace darkhorse {
namespace {

class FolderSource : public ModelSource {
 public:
  explicit FolderSource(const std::string& directory)
      : ModelSource(directory, LoadVerifiedModelConfig(directory)), tensors_(directory) {}

  int64_t file_bytes() const override {
    int64_t bytes = 0;
    for (const auto& [name, entry] : tensors_.entries())
      bytes += static_cast<int64_t>(entry.tensor->bytes.size());
    return bytes;
  }

  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override {
    const CheckpointTensors::Entry& entry = tensors_.entries().at(param.name);
    TensorView part = *entry.tensor;
    const size_t row = part.bytes.size() / static_cast<size_t>(param.shape[0]);
    part.bytes =
        part.bytes.subspan(static_cast<size_t>(begin) * row, static_cast<size_t>(count) * row);
    const int64_t size = part.size();
    ReadFloats(part, entry.file->path(), {out, static_cast<size_t>(size)});
    if (part.dtype == DType::kF8E4m3) {
      const CheckpointTensors::Entry& scales = tensors_.entries().at(ScalesName(param.name));
      MultiplyByScales(*scales.tensor, scales.file->path(), begin, count, param.shape[1], out);
    }
    if (!std::all_of(out, out + size, [](float x) { return std::isfinite(x); })) {
      Fail("{}: {} holds numbers that are not finite; take an earlier checkpoint or a sound copy",
           entry.file->path(), param.name);
    }
  }

  StoredRows Rows(const ParamSpec& param) const override {
    const TensorView& tensor = *tensors_.entries().at(param.name).tensor;
    const GgmlTypeInfo* type = nullptr;
    if (tensor.dtype == DType::kF32) type = &InfoOf(GgmlType::kF32);
    if (tensor.dtype == DType::kBf16) type = &InfoOf(GgmlType::kBf16);
    if (tensor.dtype == DType::kF16) type = &InfoOf(GgmlType::kF16);
    const std::byte* first = tensor.bytes.data();
    const int64_t row_bytes = static_cast<int64_t>(tensor.bytes.size()) / param.shape[0];
    return {type, [=](int64_t row) { return first + row * row_bytes; }, true};
  }

 private:
  CheckpointTensors tensors_;
};

}  // namespace

std::unique_ptr<ModelSource> OpenModel(const std::string& path) {
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
