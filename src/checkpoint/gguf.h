// GGUF (ggml-org/ggml docs/gguf.md), versions 2 and 3, little-endian: "GGUF", u32 version, u64
// number of tensors, u64 number of keys; the keys (a string, its type, its value); the tensors'
// names, shapes, types and offsets; and, aligned, their bytes. Strings come after their length
// (u64). Shapes are stored innermost extent first, and are turned around here. Files come from
// strangers: nothing in a header is believed before it is checked, and no more is allocated than
// the file is long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "checkpoint/gguf_keys.h"
#include "kernel/ggml_blocks.h"

namespace darkhorse {

// Views into the file's bytes.
struct GgufTensor {
  std::string_view name;
  std::vector<int64_t> shape;          // [out, in], [n] or [experts, out, in]; each at least 1
  const GgmlTypeInfo* type = nullptr;  // of whole blocks along the last extent
  std::span<const std::byte> bytes;  // not necessarily aligned; empty where only the head is there

  int64_t cols() const { return shape.back(); }
  int64_t rows() const {
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
};

// kHead: the file may end anywhere behind the list of tensors, which are then not looked at.
enum class GgufExtent { kWhole, kHead };

struct GgufContents {
  uint32_t version;
  GgufKeys keys;
  std::vector<GgufTensor> tensors;  // in the file's order
};

// Error naming `name`, the key or tensor and the cure. The contents are views into `file`.
GgufContents ParseGguf(std::span<const std::byte> file, const std::string& name,
                       GgufExtent extent = GgufExtent::kWhole);

// A GGUF file, mapped.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path, GgufExtent extent = GgufExtent::kWhole)
      : file_(path), contents_(ParseGguf(file_.bytes(), path, extent)) {}
  const std::string& path() const { return file_.path(); }
  const GgufKeys& keys() const { return contents_.keys; }
  const std::vector<GgufTensor>& tensors() const { return contents_.tensors; }
  int64_t size() const { return static_cast<int64_t>(file_.bytes().size()); }

 private:
  MappedFile file_;
  GgufContents contents_;
};

// A model in one file or in the parts of a split one: NAME-00001-of-00003.gguf and so on.
class GgufFiles {
 public:
  struct Entry {
    const GgufTensor* tensor;
    const GgufFile* file;
  };
  // `path`: the file, or any part of a split one. Error: a part that is missing or of another
  // model.
  explicit GgufFiles(const std::string& path, GgufExtent extent = GgufExtent::kWhole);

  const std::string& path() const { return files_.front()->path(); }
  const GgufKeys& keys() const { return files_.front()->keys(); }  // the first part has them all
  const std::vector<Entry>& entries() const { return entries_; }   // in the files' order
  const Entry* Find(std::string_view name) const;                  // nullptr if absent
  int64_t size() const;                                            // bytes of all parts

 private:
  std::vector<std::unique_ptr<GgufFile>> files_;
  std::vector<Entry> entries_;
  std::map<std::string_view, size_t> index_;
};

// The paths of all parts of the model that `path` is a part of, by its name alone; `path` itself
// where its name is not that of a part.
std::vector<std::string> GgufPartPaths(const std::string& path);

}  // namespace darkhorse
