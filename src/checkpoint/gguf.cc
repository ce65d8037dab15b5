#include "checkpoint/gguf.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/error.h"
#include "checkpoint/gguf_cursor.h"
#include "checkpoint/safetensors.h"

namespace darkhorse {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kCorrupt = "the file is corrupt, fetch it again";
constexpr uint32_t kMaxRank = 4;
constexpr size_t kMaxNameBytes = 256;   // ggml itself takes 64
constexpr size_t kMaxKeyBytes = 65535;  // as the format has it
constexpr int64_t kDefaultAlignment = 32, kMaxAlignment = 1 << 20;
constexpr int64_t kMaxParts = 99999;
// What a key and a tensor take at least: their name's length and a byte of it; the key's type and
// value; the tensor's number of extents, one extent, type and offset.
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1, kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

uint32_t ReadVersion(GgufCursor& cursor, const std::string& name) {
  const auto magic = cursor.Take(kMagic.size(), "its first bytes");
  if (std::string_view(reinterpret_cast<const char*>(magic.data()), magic.size()) != kMagic) {
    Fail("{}: does not begin with 'GGUF': it is no GGUF file; fetch it again", name);
  }
  const auto version = cursor.Read<uint32_t>("its version");
  if (version == __builtin_bswap32(2) || version == __builtin_bswap32(3)) {
    Fail("{}: is big-endian; fetch a little-endian copy or convert it again", name);
  }
  if (version != 2 && version != 3) {
    Fail("{}: is version {} of GGUF, where 2 and 3 are read; convert the model again", name,
         version);
  }
  return version;
}

uint64_t ReadCount(uint64_t count, uint64_t least_bytes, size_t left, std::string_view what,
                   const std::string& name) {
  if (count > left / least_bytes) {
    Fail(
        "{}: claims {} {}, more than its {} bytes can hold; the file is cut short or corrupt, "
        "fetch "
        "it again",
        name, count, what, left);
  }
  return count;
}

void ReadKeys(GgufCursor& cursor, uint64_t count, GgufKeys& keys) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view key = cursor.ReadString("a key's name");
    if (key.empty() || key.size() > kMaxKeyBytes) {
      Fail("{}: a key's name has {} bytes, where 1 to {} are allowed; {}", keys.name(), key.size(),
           kMaxKeyBytes, kCorrupt);
    }
    keys.Add(key, cursor.ReadValue("key '" + Printable(key) + "'"));
  }
}

struct TensorAt {
  uint64_t begin;  // in the data section
  uint64_t size;
  size_t index;
};

// Everything of a tensor but its bytes, which lie at *at.
GgufTensor ReadTensor(GgufCursor& cursor, const std::string& name, TensorAt* at) {
  GgufTensor tensor;
  tensor.name = cursor.ReadString("a tensor's name");
  const std::string where = fmt::format("{}: tensor '{}'", name, Printable(tensor.name));
  if (tensor.name.empty() || tensor.name.size() > kMaxNameBytes) {
    Fail("{}: its name has {} bytes, where 1 to {} are allowed; {}", where, tensor.name.size(),
         kMaxNameBytes, kCorrupt);
  }
  const auto rank = cursor.Read<uint32_t>("the list of tensors");
  if (rank == 0 || rank > kMaxRank) {
    Fail("{}: has {} extents, where 1 to {} are allowed; {}", where, rank, kMaxRank, kCorrupt);
  }
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const auto extent = cursor.Read<int64_t>("the list of tensors");
    if (extent < 1 || __builtin_mul_overflow(count, extent, &count)) {
      Fail("{}: extent {} is {}, which cannot be or overflows; {}", where, i, extent, kCorrupt);
    }
    tensor.shape.push_back(extent);
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  const auto type = cursor.Read<uint32_t>("the list of tensors");
  tensor.type = FindGgmlType(type);
  if (!tensor.type) {
    Fail("{}: has ggml's type {}, which is not known; fetch the model in one of {}", where, type,
         ReadableGgmlTypes());
  }
  if (tensor.cols() % tensor.type->numbers != 0) {
    Fail("{}: its rows of {} are no whole blocks of {}, which hold {}; {}", where, tensor.cols(),
         tensor.type->name, tensor.type->numbers, kCorrupt);
  }
  int64_t size;
  if (__builtin_mul_overflow(count / tensor.type->numbers, tensor.type->bytes, &size)) {
    Fail("{}: shape {} overflows; {}", where, ShapeText(tensor.shape), kCorrupt);
  }
  at->size = static_cast<uint64_t>(size);
  at->begin = cursor.Read<uint64_t>("the list of tensors");
  return tensor;
}

// Gives the tensors their bytes of `data`; none may lie outside or in another.
void Place(std::span<const std::byte> data, std::vector<TensorAt> places, uint64_t alignment,
           const std::string& name, std::vector<GgufTensor>& tensors) {
  std::sort(places.begin(), places.end(),
            [](const TensorAt& a, const TensorAt& b) { return a.begin < b.begin; });
  uint64_t end = 0;
  for (const TensorAt& place : places) {
    GgufTensor& tensor = tensors[place.index];
    const std::string where = fmt::format("{}: tensor '{}'", name, Printable(tensor.name));
    if (place.begin % alignment != 0) {
      Fail("{}: its offset {} is no multiple of general.alignment {}; {}", where, place.begin,
           alignment, kCorrupt);
    }
    if (place.begin < end) Fail("{}: overlaps the one before it; {}", where, kCorrupt);
    if (place.begin > data.size() || place.size > data.size() - place.begin) {
      Fail(
          "{}: its {} bytes at offset {} go beyond the end of the file; it is cut short, fetch it "
          "again",
          where, place.size, place.begin);
    }
    tensor.bytes = data.subspan(place.begin, place.size);
    end = place.begin + place.size;
  }
}

}  // namespace

GgufContents ParseGguf(std::span<const std::byte> file, const std::string& name,
                       GgufExtent extent) {
  GgufCursor cursor(file, name);
  GgufContents contents{ReadVersion(cursor, name), GgufKeys(name), {}};
  const auto tensor_count = cursor.Read<uint64_t>("its number of tensors");
  const auto key_count = cursor.Read<uint64_t>("its number of keys");
  ReadCount(key_count, kLeastKeyBytes, cursor.left(), "keys", name);
  ReadCount(tensor_count, kLeastTensorBytes, cursor.left(), "tensors", name);
  ReadKeys(cursor, key_count, contents.keys);
  const int64_t alignment =
      contents.keys.FindInt("general.alignment", 1, kMaxAlignment).value_or(kDefaultAlignment);
  if ((alignment & (alignment - 1)) != 0) {
    Fail("{}: general.alignment is {}, which is no power of two; {}", name, alignment, kCorrupt);
  }
  ReadCount(tensor_count, kLeastTensorBytes, cursor.left(), "tensors", name);
  std::vector<TensorAt> places;
  std::set<std::string_view> seen;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    TensorAt at{0, 0, i};
    contents.tensors.push_back(ReadTensor(cursor, name, &at));
    places.push_back(at);
    if (!seen.insert(contents.tensors.back().name).second) {
      Fail("{}: tensor '{}' appears twice; {}", name, Printable(contents.tensors.back().name),
           kCorrupt);
    }
  }
  if (extent == GgufExtent::kHead) return contents;
  const auto step = static_cast<size_t>(alignment);
  const size_t data = std::min((cursor.position() + step - 1) / step * step, file.size());
  Place(file.subspan(data), std::move(places), step, name, contents.tensors);
  return contents;
}

std::vector<std::string> GgufPartPaths(const std::string& path) {
  // NAME-00001-of-00003.gguf
  constexpr std::string_view kEnding = ".gguf", kOf = "-of-";
  constexpr size_t kDigits = 5, kTail = 1 + kDigits + kOf.size() + kDigits + kEnding.size();
  if (path.size() <= kTail) return {path};
  const std::string_view tail = std::string_view(path).substr(path.size() - kTail);
  const auto number = [&](size_t begin) {
    int64_t value = 0;
    const char* digits = tail.data() + begin;
    const auto [end, error] = std::from_chars(digits, digits + kDigits, value);
    return error == std::errc() && end == digits + kDigits ? value : -1;
  };
  const int64_t part = number(1), parts = number(1 + kDigits + kOf.size());
  const bool is_part = tail[0] == '-' && tail.substr(1 + kDigits, kOf.size()) == kOf &&
                       tail.ends_with(kEnding) && 1 <= part && part <= parts && parts <= kMaxParts;
  if (!is_part) return {path};
  std::vector<std::string> paths;
  for (int64_t i = 1; i <= parts; ++i) {
    paths.push_back(
        fmt::format("{}-{:05}-of-{:05}.gguf", path.substr(0, path.size() - kTail), i, parts));
  }
  return paths;
}

GgufFiles::GgufFiles(const std::string& path, GgufExtent extent) {
  const std::vector<std::string> paths = GgufPartPaths(path);
  const auto parts = static_cast<int64_t>(paths.size());
  int64_t tensors = 0;
  for (int64_t part = 0; part < parts; ++part) {
    const std::string& name = paths[static_cast<size_t>(part)];
    if (parts > 1 && !FileExists(name)) {
      Fail("{}: is missing, part {} of {} of the model; fetch it into the same folder", name,
           part + 1, parts);
    }
    files_.push_back(std::make_unique<GgufFile>(name, extent));
    const GgufFile& file = *files_.back();
    const int64_t count = file.keys().FindInt("split.count", 0, kMaxParts).value_or(1);
    const int64_t number = file.keys().FindInt("split.no", 0, kMaxParts).value_or(0);
    if (std::max<int64_t>(count, 1) != parts || number != part) {
      Fail(
          "{}: is part {} of {} by its keys split.no and split.count, {} of {} by its name; name "
          "parts as they were published: NAME-00001-of-00003.gguf",
          name, number + 1, count, part + 1, parts);
    }
    tensors += static_cast<int64_t>(file.tensors().size());
    for (const GgufTensor& tensor : file.tensors()) {
      if (!index_.emplace(tensor.name, entries_.size()).second) {
        Fail("{}: tensor '{}' is in an earlier part too; fetch the parts again", name,
             Printable(tensor.name));
      }
      entries_.push_back({&tensor, &file});
    }
  }
  const auto expected = keys().FindInt("split.tensors.count", 0, INT64_MAX);
  if (parts > 1 && expected && *expected != tensors) {
    Fail("{}: split.tensors.count is {}, but its {} parts hold {} tensors; fetch the parts again",
         this->path(), *expected, parts, tensors);
  }
}

const GgufFiles::Entry* GgufFiles::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

int64_t GgufFiles::size() const {
  int64_t size = 0;
  for (const auto& file : files_) size += file->size();
  return size;
}

}  // namespace darkhorse
