#include "checkpoint/gguf_writer.h"

#include <cmath>
#include <cstring>

#include "base/error.h"

namespace darkhorse {
namespace {

constexpr int64_t kAlignment = 32;  // of tensors, where no key says another

int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <typename T>
void Put(const T& value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
void PutString(std::string_view text, std::string* out) {
  Put<uint64_t>(text.size(), out);
  *out += text;
}

}  // namespace

void GgufHead::Begin(std::string_view key, GgufKind kind) {
  ++keys_;
  PutString(key, &key_bytes_);
  Put(kind, &key_bytes_);
}

void GgufHead::BeginArray(std::string_view key, GgufKind element, size_t count) {
  Begin(key, GgufKind::kArray);
  Put(element, &key_bytes_);
  Put<uint64_t>(count, &key_bytes_);
}

void GgufHead::Int(std::string_view key, int64_t value) {
  CHECK(value >= 0 && value <= UINT32_MAX);
  Begin(key, GgufKind::kU32);
  Put(static_cast<uint32_t>(value), &key_bytes_);
}

void GgufHead::Number(std::string_view key, double value) {
  Begin(key, GgufKind::kF32);
  Put(static_cast<float>(value), &key_bytes_);
}

void GgufHead::Bool(std::string_view key, bool value) {
  Begin(key, GgufKind::kBool);
  Put(static_cast<uint8_t>(value), &key_bytes_);
}

void GgufHead::String(std::string_view key, std::string_view value) {
  Begin(key, GgufKind::kString);
  PutString(value, &key_bytes_);
}

void GgufHead::Strings(std::string_view key, std::span<const std::string> values) {
  BeginArray(key, GgufKind::kString, values.size());
  for (const std::string& value : values) PutString(value, &key_bytes_);
}

void GgufHead::Ints(std::string_view key, std::span<const int32_t> values) {
  BeginArray(key, GgufKind::kI32, values.size());
  for (const int32_t value : values) Put(value, &key_bytes_);
}

void GgufHead::Tensor(std::string_view name, const std::vector<int64_t>& shape, GgmlType type) {
  CHECK(name.size() <= 64 && shape.size() <= 4);  // the format's limits
  PutString(name, &list_bytes_);
  Put(static_cast<uint32_t>(shape.size()), &list_bytes_);
  int64_t numbers = 1;
  for (size_t i = shape.size(); i > 0; --i) {
    Put(static_cast<uint64_t>(shape[i - 1]), &list_bytes_);
    numbers *= shape[i - 1];
  }
  Put(type, &list_bytes_);
  Put(static_cast<uint64_t>(data_bytes_), &list_bytes_);
  CHECK(shape.back() % InfoOf(type).numbers == 0);
  sizes_.push_back(InfoOf(type).BytesOf(numbers));
  data_bytes_ += Aligned(sizes_.back());
}

std::string GgufHead::Bytes() const {
  std::string bytes = "GGUF";
  Put<uint32_t>(3, &bytes);
  Put<uint64_t>(sizes_.size(), &bytes);
  Put<uint64_t>(keys_, &bytes);
  bytes += key_bytes_;
  bytes += list_bytes_;
  bytes.resize(static_cast<size_t>(Aligned(static_cast<int64_t>(bytes.size()))));
  return bytes;
}

GgufWriter::GgufWriter(const std::string& path, const GgufHead& head)
    : writer_(path), sizes_(head.sizes_) {
  writer_.Write(head.Bytes());
}

void GgufWriter::Append(std::span<const std::byte> bytes) {
  CHECK(next_ < sizes_.size());
  appended_ += static_cast<int64_t>(bytes.size());
  CHECK(appended_ <= sizes_[next_]);
  writer_.Write(bytes);
  if (appended_ < sizes_[next_]) return;
  const std::string padding(static_cast<size_t>(Aligned(appended_) - appended_), '\0');
  writer_.Write(padding);
  ++next_;
  appended_ = 0;
}

void GgufWriter::Commit() {
  CHECK(next_ == sizes_.size());
  writer_.Commit();
}

}  // namespace darkhorse
