// Bytes and lines of a file that may be compressed (.gz, .zst). The memory in use has a fixed
// limit, whatever the input.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace darkhorse {

// A file as a stream of its decompressed bytes.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Up to `capacity` bytes; 0 at the end. Error: the file cannot be read, or is damaged.
  virtual size_t Read(char* out, size_t capacity) = 0;
  // Bytes of the file on disk consumed so far, for progress.
  virtual int64_t disk_position() const = 0;
};

// The end of the name says how the file is compressed: .gz (one member or several), .zst (one frame
// or several), or not at all. Error: the file cannot be opened.
std::unique_ptr<ByteSource> OpenByteSource(const std::string& path);

class LineReader {
 public:
  // Lines longer than max_line_bytes are skipped without being held.
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
