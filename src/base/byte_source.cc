#include "base/byte_source.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace darkhorse {
namespace {

constexpr size_t kBufferBytes = 1 << 18;

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(const std::string& path)
      : path_(path), file_(fdopen(OpenToRead(path), "rb"), &std::fclose) {
    if (!file_) FailSystem("open", path, errno);
  }
  size_t Read(char* out, size_t capacity) override {
    const size_t count = std::fread(out, 1, capacity, file_.get());
    if (count == 0 && std::ferror(file_.get())) {
      Fail("{}: cannot be read ({})", path_, std::strerror(errno));
    }
    position_ += static_cast<int64_t>(count);
    return count;
  }
  int64_t disk_position() const override { return position_; }

 private:
  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  int64_t position_ = 0;
};

// One gzip member after another, as `gzip -d` reads them. (zlib's own reader takes whatever follows
// the first member and is none for padding, and leaves it out.)
class GzipSource : public ByteSource {
 public:
  explicit GzipSource(const std::string& path) : path_(path), file_(path) {
    buffer_.resize(kBufferBytes);
    constexpr int kGzipOnly = 15 + 16;  // the largest window; a gzip header is required
    CHECK(inflateInit2(&stream_, kGzipOnly) == Z_OK);
  }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override { inflateEnd(&stream_); }

  size_t Read(char* out, size_t capacity) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(capacity);
    while (stream_.avail_out == capacity) {
      if (stream_.avail_in == 0 && !Refill()) break;
      // Zeros fill up the last block of a tape.
      for (; !inside_ && stream_.avail_in > 0 && *stream_.next_in == 0; --stream_.avail_in) {
        ++stream_.next_in;
      }
      if (stream_.avail_in == 0) continue;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      inside_ = code == Z_OK || code == Z_BUF_ERROR;
      if (code == Z_STREAM_END) {
        CHECK(inflateReset(&stream_) == Z_OK);
      } else if (!inside_) {
        Fail("{}: no gzip data, or damaged ({}); fetch or compress the file again", path_,
             stream_.msg != nullptr ? stream_.msg : "no reason given");
      }
    }
    return capacity - stream_.avail_out;
  }
  int64_t disk_position() const override { return file_.disk_position(); }

 private:
  // False at the end of the file, which may only come between two members, and not before the
  // first.
  bool Refill() {
    const size_t count = file_.Read(buffer_.data(), buffer_.size());
    stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_in = static_cast<uInt>(count);
    if (count == 0 && inside_) {
      Fail("{}: truncated gzip data; fetch or compress the file again", path_);
    }
    return count > 0;
  }

  std::string path_;
  PlainSource file_;
  z_stream stream_{};
  std::string buffer_;
  bool inside_ = true;  // of a member
};

class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(const std::string& path)
      : path_(path), file_(path), context_(ZSTD_createDCtx(), &ZSTD_freeDCtx) {
    CHECK(context_ != nullptr);
    buffer_.resize(kBufferBytes);
  }
  size_t Read(char* out, size_t capacity) override {
    ZSTD_outBuffer output{out, capacity, 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size && !flushing_) {
        input_ = {buffer_.data(), file_.Read(buffer_.data(), buffer_.size()), 0};
        if (input_.size == 0) {
          if (pending_ != 0) {
            Fail("{}: truncated zstd data; fetch or compress the file again", path_);
          }
          return 0;
        }
      }
      // 0: a frame is complete. Frames that need a window above zstd's 128 MiB default are refused.
      pending_ = ZSTD_decompressStream(context_.get(), &output, &input_);
      if (ZSTD_isError(pending_)) {
        Fail("{}: zstd data cannot be read ({}); fetch it again or compress it without --long",
             path_, ZSTD_getErrorName(pending_));
      }
      // A full output may leave decoded bytes inside the context although all input is consumed.
      flushing_ = output.pos == output.size && pending_ != 0;
    }
    return output.pos;
  }
  int64_t disk_position() const override { return file_.disk_position(); }

 private:
  std::string path_;
  PlainSource file_;
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context_;
  std::string buffer_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  size_t pending_ = 1;  // 0: between two frames, where the file may end
  bool flushing_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> OpenByteSource(const std::string& path) {
  std::string name = path;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name.ends_with(".gz")) return std::make_unique<GzipSource>(path);
  if (name.ends_with(".zst")) return std::make_unique<ZstdSource>(path);
  return std::make_unique<PlainSource>(path);
}

std::string ReadDecompressed(const std::string& path, int64_t max_bytes) {
  const auto source = OpenByteSource(path);
  std::string text, buffer(kBufferBytes, '\0');
  while (const size_t count = source->Read(buffer.data(), buffer.size())) {
    if (static_cast<int64_t>(text.size() + count) > max_bytes)
      Fail("{}: longer than {} bytes once decompressed; cut it into several files", path,
           max_bytes);
    text.append(buffer, 0, count);
  }
  return text;
}

}  // namespace darkhorse
