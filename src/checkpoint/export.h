// A model written anew, as files that other programs read (docs/formats.md): a folder as Hugging
// Face's, or a GGUF file. Published whole or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/interrupt.h"
#include "checkpoint/model_source.h"
#include "checkpoint/safetensors.h"
#include "kernel/ggml_blocks.h"

namespace darkhorse {

struct ExportOptions {
  int64_t shard_bytes = 5'000'000'000;  // of tensors in a file of a folder, save a larger tensor
  // Called now and then from one thread, with the bytes of weights written and of all.
  std::function<void(int64_t done, int64_t total)> progress;
  StopRequest stop;
};

// Each throws Error where `out` exists, where there is no room for it, where the model is what the
// format cannot tell, or where a number is not finite or beyond the format's largest; Interruption
// if asked to stop. Nothing then stands at `out`.

// dtype: kF32 or kBf16, of all tensors but the router's bias, which is f32. What belongs to the
// tokenizer, and how to sample, is copied from a folder as it is and translated from a GGUF file. A
// folder of this program's stays one: with checksums, and the hash of its tokenizer.
void ExportFolder(const ModelSource& source, DType dtype, const std::string& out,
                  const ExportOptions& options);

// type: kF16, kQ8_0, kQ4_0 or kQ4K, of the matrices; ExportType has the exceptions. Without modules
// for multi-token prediction.
void ExportGguf(const ModelSource& source, GgmlType type, const std::string& out,
                const ExportOptions& options);

// What a tensor is stored as where `type` is asked for: norms, biases and the router F32; embedding
// and head no worse than Q8_0; rows that are no whole blocks of Q4_K Q5_0, and where they are none
// of 32 numbers F16.
GgmlType ExportType(GgmlType type, ParamKind kind, int64_t cols);

}  // namespace darkhorse
