// The metadata of a GGUF file: keys and typed values, which stay in the file's bytes. Writers
// differ in the width of an integer and in f32 or f64, so an accessor takes any of them; what it
// demands is the range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

// The values are the files'.
enum class GgufKind : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::string_view GgufKindName(GgufKind kind);  // "u8", ..., "array"

// Bytes of a value of this kind; 0 of strings and arrays, which tell their own length.
int64_t GgufKindBytes(GgufKind kind);

// Checked by who reads it from a file: as many bytes as its kind or its elements take.
struct GgufValue {
  GgufKind kind = GgufKind::kU8;
  // Of an array:
  GgufKind element = GgufKind::kU8;
  uint64_t count = 0;
  // A number as it is; a string's text; an array's elements, one behind the other, strings after
  // their length and arrays after their kind and count.
  std::span<const std::byte> bytes;
};

class GgufKeys {
 public:
  // `name`: the file, for errors.
  explicit GgufKeys(std::string name) : name_(std::move(name)) {}

  // Error if the key is there already.
  void Add(std::string_view key, const GgufValue& value);

  const std::string& name() const { return name_; }
  size_t size() const { return values_.size(); }
  const GgufValue* Find(std::string_view key) const;  // nullptr if absent
  const std::map<std::string_view, GgufValue>& values() const { return values_; }

  // Nothing if the key is absent; Error naming file, key and value if it is of another type or out
  // of [low, high].
  std::optional<int64_t> FindInt(std::string_view key, int64_t low, int64_t high) const;
  // Finite; integers too. Of an f32, the shortest decimal number that it is.
  std::optional<double> FindNumber(std::string_view key) const;
  std::optional<bool> FindBool(std::string_view key) const;
  std::optional<std::string_view> FindString(std::string_view key) const;
  std::optional<std::vector<int64_t>> FindInts(std::string_view key, int64_t low,
                                               int64_t high) const;
  std::optional<std::vector<std::string_view>> FindStrings(std::string_view key) const;
  std::optional<std::vector<GgufValue>> FindArrays(std::string_view key) const;  // of arrays

  // The same, and Error if the key is absent.
  int64_t Int(std::string_view key, int64_t low, int64_t high) const;
  double Number(std::string_view key) const;
  std::string_view String(std::string_view key) const;
  std::vector<int64_t> Ints(std::string_view key, int64_t low, int64_t high) const;
  std::vector<std::string_view> Strings(std::string_view key) const;

 private:
  // "<file>: key '<key>'"
  std::string Where(std::string_view key) const;
  template <typename T>
  T Required(std::optional<T> value, std::string_view key) const;
  const GgufValue* FindArray(std::string_view key, std::string_view of_what) const;

  std::string name_;
  std::map<std::string_view, GgufValue> values_;
};

}  // namespace darkhorse
