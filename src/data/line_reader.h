// Lines of a file that may be compressed (base/byte_source.h). The memory in use has a fixed limit,
// whatever the input.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/byte_source.h"

namespace darkhorse {

class LineReader {
 public:
  // Lines longer than max_line_bytes are skipped without being held. Error: the file is UTF-16.
  LineReader(const std::string& path, size_t max_line_bytes);

  enum class Result { kLine, kTooLong, kEnd };
  // The next line without its "\n" or "\r\n". A byte order mark at the start of the file is
  // dropped. The last line need not end with a newline. kTooLong: the line was skipped. Throws what
  // ByteSource::Read throws.
  Result Next(std::string* line);

  int64_t line_number() const { return line_number_; }  // of the last line returned, from 1
  int64_t disk_position() const { return source_->disk_position(); }

 private:
  bool Fill();

  std::unique_ptr<ByteSource> source_;
  size_t max_line_bytes_;
  std::string buffer_;
  std::string_view rest_;  // of buffer_
  int64_t line_number_ = 0;
};

}  // namespace darkhorse
