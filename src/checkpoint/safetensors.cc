#include "checkpoint/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/number_formats.h"
#include "kernel/f8.h"

namespace darkhorse {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxRank = 8;

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  int64_t bytes;
};
constexpr std::array<DTypeInfo, 8> kDTypes = {{{DType::kF32, "F32", 4},
                                               {DType::kBf16, "BF16", 2},
                                               {DType::kF16, "F16", 2},
                                               {DType::kF8E4m3, "F8_E4M3", 1},
                                               {DType::kF8E8m0, "F8_E8M0", 1},
                                               {DType::kI64, "I64", 8},
                                               {DType::kI32, "I32", 4},
                                               {DType::kU8, "U8", 1}}};

DType ParseDType(const std::string& text, const std::string& where) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == text) return info.dtype;
  }
  Fail("{}: dtype '{}' is not supported; convert the tensor to F32, BF16 or F16", where,
       Printable(text));
}

// Elements of the shape times `bytes`, refusing what does not fit 63 bits.
int64_t ByteSize(const std::vector<int64_t>& shape, int64_t bytes, const std::string& where) {
  int64_t size = bytes;
  for (const int64_t extent : shape) {
    if (__builtin_mul_overflow(size, extent, &size)) {
      Fail("{}: shape {} overflows; the file is corrupt, fetch it again", where, ShapeText(shape));
    }
  }
  return size;
}

TensorView ParseTensor(const std::string& name, const json& entry, std::span<const std::byte> data,
                       const std::string& file) {
  const std::string where = file + ": tensor '" + Printable(name) + "'";
  if (!entry.is_object()) Fail("{}: its header entry must be an object", where);
  TensorView tensor;
  tensor.name = name;
  tensor.dtype = ParseDType(JsonString(entry, "dtype", where), where);
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array() || shape->size() > kMaxRank) {
    Fail("{}: 'shape' must be an array of at most {} extents", where, kMaxRank);
  }
  for (const json& extent : *shape) {
    tensor.shape.push_back(IntOf(extent, "shape", where, 0, INT64_MAX));
  }
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2) {
    Fail("{}: 'data_offsets' must be [begin, end]", where);
  }
  const auto offset = [&](size_t i) {
    return IntOf((*offsets)[i], "data_offsets", where, 0, INT64_MAX);
  };
  const int64_t begin = offset(0), end = offset(1);
  if (end > static_cast<int64_t>(data.size())) {
    Fail("{}: ends {} bytes behind the end of the file; the file is truncated, fetch it again",
         where, end - static_cast<int64_t>(data.size()));
  }
  const int64_t bytes = ByteSize(tensor.shape, DTypeBytes(tensor.dtype), where);
  if (begin > end || end - begin != bytes) {
    Fail(
        "{}: data_offsets [{}, {}] do not hold the {} bytes of {} {}; the file is corrupt, fetch "
        "it again",
        where, begin, end, bytes, DTypeName(tensor.dtype), ShapeText(tensor.shape));
  }
  tensor.bytes = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(bytes));
  return tensor;
}

// The bytes must be covered exactly once: hidden bytes are how a file carries what nobody checks,
// overlaps how a small file makes a reader allocate much.
void CheckTiling(const std::vector<TensorView>& tensors, std::span<const std::byte> data,
                 const std::string& file) {
  const std::byte* expected = data.data();
  for (const TensorView& tensor : tensors) {
    if (tensor.bytes.data() != expected) {
      Fail(
          "{}: tensor '{}' {}; the file is corrupt, fetch it again", file, Printable(tensor.name),
          tensor.bytes.data() < expected ? "overlaps the one before it" : "leaves a gap before it");
    }
    expected += tensor.bytes.size();
  }
  if (expected != data.data() + data.size()) {
    Fail("{}: {} bytes after the last tensor; the file is corrupt, fetch it again", file,
         data.data() + data.size() - expected);
  }
}

template <typename To, typename From, typename Convert>
void ConvertBytes(std::span<const std::byte> bytes, std::span<To> out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = convert(value);
  }
}

}  // namespace

std::string_view DTypeName(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }
int64_t DTypeBytes(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].bytes; }

std::string ShapeText(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void ReadFloats(const TensorView& tensor, const std::string& file, std::span<float> out) {
  CHECK(static_cast<int64_t>(out.size()) == tensor.size());
  switch (tensor.dtype) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), out.size_bytes());
      return;
    case DType::kBf16:
      return ConvertBytes<float, uint16_t>(tensor.bytes, out, FromBf16);
    case DType::kF16:
      return ConvertBytes<float, uint16_t>(tensor.bytes, out, FromF16);
    case DType::kF8E4m3:
      return ConvertBytes<float, uint8_t>(tensor.bytes, out,
                                          [](uint8_t bits) { return ToFloat(F8E4m3{bits}); });
    case DType::kF8E8m0:
      return ConvertBytes<float, uint8_t>(tensor.bytes, out,
                                          [](uint8_t bits) { return ToFloat(F8E8m0{bits}); });
    default:
      Fail("{}: tensor '{}' is {}, where F32, BF16 or F16 is needed; convert it", file,
           Printable(tensor.name), DTypeName(tensor.dtype));
  }
}

SafetensorsContents ParseSafetensors(std::span<const std::byte> file, const std::string& name) {
  uint64_t header_bytes = 0;
  if (file.size() < sizeof(header_bytes)) {
    Fail("{}: {} bytes are too few for a safetensors file; fetch it again", name, file.size());
  }
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  const auto rest = file.subspan(sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > rest.size()) {
    Fail(
        "{}: its header claims {} bytes but {} follow (at most {} are allowed); the file is "
        "truncated or no safetensors file, fetch it again",
        name, header_bytes, rest.size(), kMaxHeaderBytes);
  }
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), header_bytes);
  const json header = ParseJsonObject(text, name + ": header");
  const auto data = rest.subspan(header_bytes);

  SafetensorsContents contents;
  for (const auto& [key, value] : header.items()) {
    if (key != "__metadata__") {
      contents.tensors.push_back(ParseTensor(key, value, data, name));
      continue;
    }
    if (!value.is_object()) Fail("{}: '__metadata__' must be an object of strings", name);
    for (const auto& item : value.items()) {
      contents.metadata[item.key()] = JsonString(value, item.key(), name + ": __metadata__");
    }
  }
  std::stable_sort(contents.tensors.begin(), contents.tensors.end(),
                   [](const TensorView& a, const TensorView& b) {
                     // An empty tensor lies before the one that begins where it does.
                     return std::pair(a.bytes.data(), a.bytes.size()) <
                            std::pair(b.bytes.data(), b.bytes.size());
                   });
  CheckTiling(contents.tensors, data, name);
  return contents;
}

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path), contents_(ParseSafetensors(file_.bytes(), path)) {
  for (size_t i = 0; i < contents_.tensors.size(); ++i) {
    index_.emplace(contents_.tensors[i].name, i);
  }
}

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &contents_.tensors[found->second];
}

std::map<std::string, std::string> ParseShardIndex(std::string_view text, const std::string& name) {
  const json index = ParseJsonObject(text, name);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) {
    Fail("{}: 'weight_map' must be an object of tensor names to files", name);
  }
  std::map<std::string, std::string> files;
  for (const auto& item : map->items()) {
    const std::string file = JsonString(*map, item.key(), name + ": weight_map");
    if (file.empty() || file[0] == '.' || file.find_first_of("/\\") != std::string::npos ||
        file.find('\0') != std::string::npos) {
      Fail("{}: tensor '{}' is said to be in '{}', which is no file of the same directory", name,
           Printable(item.key()), Printable(file));
    }
    files[item.key()] = file;
  }
  return files;
}

CheckpointTensors::CheckpointTensors(const std::string& directory) {
  const std::string single = directory + "/model.safetensors";
  const std::string index = single + ".index.json";
  if (FileExists(single) || !FileExists(index)) {
    const SafetensorsFile& file =
        files_.emplace("model.safetensors", SafetensorsFile(single)).first->second;
    for (const TensorView& tensor : file.tensors()) entries_[tensor.name] = {&tensor, &file};
    return;
  }
  for (const auto& [name, file_name] : ParseShardIndex(ReadFile(index, 1 << 28), index)) {
    auto found = files_.find(file_name);
    if (found == files_.end()) {
      found = files_.emplace(file_name, SafetensorsFile(directory + "/" + file_name)).first;
    }
    const TensorView* tensor = found->second.Find(name);
    if (!tensor) {
      Fail("{}: tensor '{}' is not in {}; fetch the shards again", index, Printable(name),
           file_name);
    }
    entries_[name] = {tensor, &found->second};
  }
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<TensorSpec> specs,
                                     const std::map<std::string, std::string>& metadata)
    : writer_(path), specs_(std::move(specs)) {
  // Assembled as text: a model has tens of thousands of tensors, and their order must stay.
  std::string text;
  if (!metadata.empty()) text += fmt::format("\"__metadata__\":{}", json(metadata).dump());
  int64_t offset = 0;
  for (const TensorSpec& spec : specs_) {
    CHECK(spec.dtype == DType::kF32 || spec.dtype == DType::kBf16);
    const int64_t end = offset + ByteSize(spec.shape, DTypeBytes(spec.dtype), path);
    text += fmt::format(R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        text.empty() ? "" : ",", json(spec.name).dump(), DTypeName(spec.dtype),
                        fmt::join(spec.shape, ","), offset, end);
    offset = end;
  }
  text = "{" + text + "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins aligned, as the format advises
  const uint64_t size = text.size();
  writer_.Write(std::as_bytes(std::span(&size, 1)));
  writer_.Write(text);
}

void SafetensorsWriter::Append(std::span<const float> values) {
  CHECK(next_ < specs_.size());
  const TensorSpec& spec = specs_[next_];
  int64_t size = 1;
  for (const int64_t extent : spec.shape) size *= extent;
  appended_ += static_cast<int64_t>(values.size());
  CHECK(appended_ <= size);
  if (appended_ == size) {
    ++next_;
    appended_ = 0;
  }
  if (spec.dtype == DType::kF32) return writer_.Write(std::as_bytes(values));
  std::vector<uint16_t> chunk;
  while (!values.empty()) {
    chunk.resize(std::min<size_t>(values.size(), 1 << 16));
    std::transform(values.begin(), values.begin() + static_cast<ptrdiff_t>(chunk.size()),
                   chunk.begin(), ToBf16);
    writer_.Write(std::as_bytes(std::span<const uint16_t>(chunk)));
    values = values.subspan(chunk.size());
  }
}

void SafetensorsWriter::Commit() {
  CHECK(next_ == specs_.size());
  writer_.Commit();
}

}  // namespace darkhorse
