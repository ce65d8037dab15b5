#include "checkpoint/gguf_keys.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "checkpoint/gguf_cursor.h"

namespace darkhorse {
namespace {

// No published file nests at all.
constexpr int kMaxArrayDepth = 4;

struct KindInfo {
  std::string_view name;
  int64_t bytes;
};
constexpr std::array<KindInfo, 13> kKinds = {{{"u8", 1},
                                              {"i8", 1},
                                              {"u16", 2},
                                              {"i16", 2},
                                              {"u32", 4},
                                              {"i32", 4},
                                              {"f32", 4},
                                              {"bool", 1},
                                              {"string", 0},
                                              {"array", 0},
                                              {"u64", 8},
                                              {"i64", 8},
                                              {"f64", 8}}};

template <typename T>
T As(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

// An integer of any width; nothing if it is none, or beyond i64.
std::optional<int64_t> IntAt(GgufKind kind, const std::byte* bytes) {
  switch (kind) {
    case GgufKind::kU8:
      return As<uint8_t>(bytes);
    case GgufKind::kI8:
      return As<int8_t>(bytes);
    case GgufKind::kU16:
      return As<uint16_t>(bytes);
    case GgufKind::kI16:
      return As<int16_t>(bytes);
    case GgufKind::kU32:
      return As<uint32_t>(bytes);
    case GgufKind::kI32:
      return As<int32_t>(bytes);
    case GgufKind::kI64:
      return As<int64_t>(bytes);
    case GgufKind::kU64: {
      const auto value = As<uint64_t>(bytes);
      if (value > INT64_MAX) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

// The shortest decimal number that is this f32: what stood in the config.json that it was written
// from, 1e-05 rather than 0.0000099999997….
double ShortestDecimal(float value) {
  return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

// What an error says a value is.
std::string Show(const GgufValue& value) {
  if (value.kind == GgufKind::kArray) {
    return fmt::format("an array of {} {}", value.count, GgufKindName(value.element));
  }
  if (value.kind == GgufKind::kString) {
    return fmt::format(
        "'{}'", Printable({reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size()}));
  }
  const std::byte* bytes = value.bytes.data();
  if (value.kind == GgufKind::kF32) return fmt::format("{}", As<float>(bytes));
  if (value.kind == GgufKind::kF64) return fmt::format("{}", As<double>(bytes));
  if (value.kind == GgufKind::kBool) return As<uint8_t>(bytes) ? "true" : "false";
  if (value.kind == GgufKind::kU64) return fmt::format("{}", As<uint64_t>(bytes));
  return fmt::format("{}", *IntAt(value.kind, bytes));
}

}  // namespace

std::string_view GgufKindName(GgufKind kind) { return kKinds[static_cast<size_t>(kind)].name; }
int64_t GgufKindBytes(GgufKind kind) { return kKinds[static_cast<size_t>(kind)].bytes; }

GgufKind GgufCursor::ReadKind(std::string_view what) {
  const auto kind = Read<uint32_t>(what);
  if (kind >= kKinds.size()) {
    Fail("{}: {} has the type {}, where 0 to {} are known; the file is corrupt, fetch it again",
         name_, what, kind, kKinds.size() - 1);
  }
  return static_cast<GgufKind>(kind);
}

GgufValue GgufCursor::ReadValue(GgufKind kind, std::string_view what, int depth) {
  GgufValue value;
  value.kind = kind;
  if (kind == GgufKind::kString) {
    value.bytes = std::as_bytes(std::span(ReadString(what)));
    return value;
  }
  if (kind != GgufKind::kArray) {
    value.bytes = Take(static_cast<uint64_t>(GgufKindBytes(kind)), what);
    if (kind == GgufKind::kBool && As<uint8_t>(value.bytes.data()) > 1) {
      Fail("{}: {} is {}, where a bool is 0 or 1; the file is corrupt, fetch it again", name_, what,
           As<uint8_t>(value.bytes.data()));
    }
    return value;
  }
  if (depth == kMaxArrayDepth) {
    Fail("{}: {} nests arrays deeper than {} levels; the file is corrupt, fetch it again", name_,
         what, kMaxArrayDepth);
  }
  value.element = ReadKind(what);
  value.count = Read<uint64_t>(what);
  const size_t begin = position_;
  const auto bytes = static_cast<uint64_t>(GgufKindBytes(value.element));
  if (bytes > 0 && value.element != GgufKind::kBool) {
    uint64_t size;
    if (__builtin_mul_overflow(value.count, bytes, &size)) size = UINT64_MAX;
    value.bytes = Take(size, what);
    return value;
  }
  // Each takes a byte at least, so an absurd count ends with the file.
  for (uint64_t i = 0; i < value.count; ++i) ReadValue(value.element, what, depth + 1);
  value.bytes = bytes_.subspan(begin, position_ - begin);
  return value;
}

void GgufKeys::Add(std::string_view key, const GgufValue& value) {
  if (!values_.emplace(key, value).second) {
    Fail("{} appears twice; the file is corrupt, fetch it again", Where(key));
  }
}

const GgufValue* GgufKeys::Find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

std::string GgufKeys::Where(std::string_view key) const {
  return fmt::format("{}: key '{}'", name_, Printable(key));
}

std::optional<int64_t> GgufKeys::FindInt(std::string_view key, int64_t low, int64_t high) const {
  const GgufValue* value = Find(key);
  if (!value) return std::nullopt;
  const bool plain = value->kind != GgufKind::kArray && value->kind != GgufKind::kString;
  const std::optional<int64_t> number =
      plain ? IntAt(value->kind, value->bytes.data()) : std::nullopt;
  if (!number || *number < low || *number > high) {
    Fail("{} is {}, where an integer from {} to {} is needed; convert the model again", Where(key),
         Show(*value), low, high);
  }
  return number;
}

std::optional<double> GgufKeys::FindNumber(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (!value) return std::nullopt;
  std::optional<double> number;
  if (value->kind == GgufKind::kF32) {
    number = ShortestDecimal(As<float>(value->bytes.data()));
  } else if (value->kind == GgufKind::kF64) {
    number = As<double>(value->bytes.data());
  } else if (value->kind != GgufKind::kArray && value->kind != GgufKind::kString) {
    if (const auto integer = IntAt(value->kind, value->bytes.data())) {
      number = static_cast<double>(*integer);
    }
  }
  if (!number || !std::isfinite(*number)) {
    Fail("{} is {}, where a number is needed; convert the model again", Where(key), Show(*value));
  }
  return number;
}

std::optional<bool> GgufKeys::FindBool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (!value) return std::nullopt;
  if (value->kind != GgufKind::kBool) {
    Fail("{} is {}, where true or false is needed; convert the model again", Where(key),
         Show(*value));
  }
  return As<uint8_t>(value->bytes.data()) != 0;
}

std::optional<std::string_view> GgufKeys::FindString(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (!value) return std::nullopt;
  if (value->kind != GgufKind::kString) {
    Fail("{} is {}, where a string is needed; convert the model again", Where(key), Show(*value));
  }
  return std::string_view(reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size());
}

const GgufValue* GgufKeys::FindArray(std::string_view key, std::string_view of_what) const {
  const GgufValue* value = Find(key);
  if (!value) return nullptr;
  const bool right = value->kind == GgufKind::kArray &&
                     (of_what == "strings"  ? value->element == GgufKind::kString
                      : of_what == "arrays" ? value->element == GgufKind::kArray
                                            : GgufKindBytes(value->element) > 0);
  if (!right) {
    Fail("{} is {}, where an array of {} is needed; convert the model again", Where(key),
         Show(*value), of_what);
  }
  return value;
}

std::optional<std::vector<int64_t>> GgufKeys::FindInts(std::string_view key, int64_t low,
                                                       int64_t high) const {
  const GgufValue* value = FindArray(key, "integers");
  if (!value) return std::nullopt;
  const auto bytes = static_cast<size_t>(GgufKindBytes(value->element));
  std::vector<int64_t> numbers;
  numbers.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto number = IntAt(value->element, value->bytes.data() + i * bytes);
    if (!number || *number < low || *number > high) {
      Fail("{}: element {} is no integer from {} to {}; convert the model again", Where(key), i,
           low, high);
    }
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<std::vector<std::string_view>> GgufKeys::FindStrings(std::string_view key) const {
  const GgufValue* value = FindArray(key, "strings");
  if (!value) return std::nullopt;
  GgufCursor cursor(value->bytes, name_);
  std::vector<std::string_view> strings;
  strings.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) strings.push_back(cursor.ReadString(key));
  return strings;
}

std::optional<std::vector<GgufValue>> GgufKeys::FindArrays(std::string_view key) const {
  const GgufValue* value = FindArray(key, "arrays");
  if (!value) return std::nullopt;
  GgufCursor cursor(value->bytes, name_);
  std::vector<GgufValue> arrays;
  arrays.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    arrays.push_back(cursor.ReadValue(GgufKind::kArray, key, 1));
  }
  return arrays;
}

template <typename T>
T GgufKeys::Required(std::optional<T> value, std::string_view key) const {
  if (!value) Fail("{} is missing; convert the model again", Where(key));
  return *std::move(value);
}

int64_t GgufKeys::Int(std::string_view key, int64_t low, int64_t high) const {
  return Required(FindInt(key, low, high), key);
}
double GgufKeys::Number(std::string_view key) const { return Required(FindNumber(key), key); }
std::string_view GgufKeys::String(std::string_view key) const {
  return Required(FindString(key), key);
}
std::vector<int64_t> GgufKeys::Ints(std::string_view key, int64_t low, int64_t high) const {
  return Required(FindInts(key, low, high), key);
}
std::vector<std::string_view> GgufKeys::Strings(std::string_view key) const {
  return Required(FindStrings(key), key);
}

}  // namespace darkhorse
