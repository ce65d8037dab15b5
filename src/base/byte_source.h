// Bytes of a file that may be compressed (.gz, .zst). The memory in use has a fixed
// limit, whatever the input.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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

// The end of the name, in either case, says how the file is compressed: .gz (one member or
// several), .zst (one frame or several), or not at all. Error: the file cannot be opened.
std::unique_ptr<ByteSource> OpenByteSource(const std::string& path);

// All of them. Error too if they are more than max_bytes.
std::string ReadDecompressed(const std::string& path, int64_t max_bytes);

}  // namespace darkhorse
