// Where a model's parameters come from, row by row: a folder, a GGUF file. What is asked of it here
// knows neither.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernel/ggml_blocks.h"
#include "model/params.h"

namespace darkhorse {

// The rows of a matrix as a file holds them.
struct StoredRows {
  const GgmlTypeInfo* type = nullptr;  // null: not held so
  // Where row i begins, type->BytesOf(cols) bytes, not necessarily aligned.
  std::function<const std::byte*(int64_t)> row;
  bool in_order = false;  // each row begins where the one before it ends
};

// All functions may be called from many threads at once.
class ParamSource {
 public:
  virtual ~ParamSource() = default;
  // out[count, cols]: `count` rows of the parameter from `begin` on, as f32. A vector of n is n
  // rows of one number. Error: a number that is not finite.
  virtual void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const = 0;
  // The same as they lie, for as long as the source lives.
  virtual StoredRows Rows(const ParamSpec& param) const = 0;
};

}  // namespace darkhorse
