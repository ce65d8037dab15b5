// The values of a .json file, one by one: the elements of the array that it holds, or else the
// values that stand in it one behind the other, over as many lines as they like. One value is in
// memory at a time. Where values begin and end is found by their brackets; whether they are JSON is
// not judged.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/byte_source.h"

namespace darkhorse {

class JsonReader {
 public:
  // Longer values are skipped without being held.
  JsonReader(const std::string& path, size_t max_value_bytes);

  enum class Result { kValue, kTooLong, kUnclosed, kEnd };
  // kUnclosed, once: the file ends within a value or its array, as one does that was cut short.
  // Error: what ByteSource::Read throws; the file is UTF-16.
  Result Next(std::string* value);

  int64_t line_number() const { return value_line_; }  // on which the last value begins, from 1
  int64_t disk_position() const { return source_->disk_position(); }

 private:
  int Peek();  // the next byte; -1 at the end
  void Advance();
  void SkipBetween();

  std::unique_ptr<ByteSource> source_;
  size_t max_value_bytes_;
  std::string buffer_;
  size_t at_ = 0, size_ = 0;  // in buffer_
  int64_t line_ = 1, value_line_ = 1;
  bool started_ = false, in_array_ = false;
};

}  // namespace darkhorse
