// TensorBoard's event files: scalars by step, without TensorBoard. A file is a row of TFRecords,
// each a serialized tensorflow.Event (tensorflow/core/util/event.proto, framework/summary.proto).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace darkhorse {

// CRC-32C (Castagnoli), as RFC 3720 B.4 lists its values.
uint32_t Crc32c(std::string_view bytes);

// One TFRecord: length u64, masked CRC of the length, payload, masked CRC of the payload; all
// little-endian.
std::string TfRecord(std::string_view payload);

struct Scalar {
  std::string tag;  // slashes group charts
  double value = 0;
};

// The event that opens a file.
std::string VersionEvent();
// Scalars of one step. `wall_time` is in seconds since 1970 where it means anything.
std::string ScalarEvent(int64_t step, double wall_time, std::span<const Scalar> scalars);

// A whole event file. The wall time of every event is its step, so that equal metrics make equal
// bytes.
std::string TensorBoardFile(std::span<const std::pair<int64_t, std::vector<Scalar>>> steps);

}  // namespace darkhorse
