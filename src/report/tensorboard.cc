#include "report/tensorboard.h"

#include <array>
#include <bit>

namespace darkhorse {
namespace {

constexpr uint32_t kReversedPolynomial = 0x82F63B78;

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kReversedPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

// TensorFlow stores CRCs rotated and offset, so that a CRC over data that holds CRCs stays sound.
uint32_t Mask(uint32_t crc) { return std::rotr(crc, 15) + 0xA282EAD8; }

void AppendLittleEndian(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

// Protocol Buffers' encoding: a field is its number and wire type as one varint, then the value.
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

void AppendKey(uint32_t field, WireType type, std::string* out) {
  AppendVarint(field << 3 | type, out);
}

void AppendBytes(uint32_t field, std::string_view bytes, std::string* out) {
  AppendKey(field, kBytes, out);
  AppendVarint(bytes.size(), out);
  *out += bytes;
}

std::string EventStart(double wall_time) {
  std::string event;
  AppendKey(1, kFixed64, &event);
  AppendLittleEndian(std::bit_cast<uint64_t>(wall_time), 8, &event);
  return event;
}

std::string SummaryValue(const Scalar& scalar) {
  std::string value;
  AppendBytes(1, scalar.tag, &value);
  AppendKey(2, kFixed32, &value);
  AppendLittleEndian(std::bit_cast<uint32_t>(static_cast<float>(scalar.value)), 4, &value);
  return value;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  return ~crc;
}

std::string TfRecord(std::string_view payload) {
  std::string record;
  AppendLittleEndian(payload.size(), 8, &record);
  AppendLittleEndian(Mask(Crc32c(record)), 4, &record);
  record += payload;
  AppendLittleEndian(Mask(Crc32c(payload)), 4, &record);
  return record;
}

std::string VersionEvent() {
  std::string event = EventStart(0);
  AppendBytes(3, "brain.Event:2", &event);
  return event;
}

std::string ScalarEvent(int64_t step, double wall_time, std::span<const Scalar> scalars) {
  std::string event = EventStart(wall_time);
  AppendKey(2, kVarint, &event);
  AppendVarint(static_cast<uint64_t>(step), &event);
  std::string summary;
  for (const Scalar& scalar : scalars) AppendBytes(1, SummaryValue(scalar), &summary);
  AppendBytes(5, summary, &event);
  return event;
}

std::string TensorBoardFile(std::span<const std::pair<int64_t, std::vector<Scalar>>> steps) {
  std::string file = TfRecord(VersionEvent());
  for (const auto& [step, scalars] : steps)
    file += TfRecord(ScalarEvent(step, static_cast<double>(step), scalars));
  return file;
}

}  // namespace darkhorse
