#include "data/line_reader.h"

#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace darkhorse {
namespace {

constexpr size_t kBufferBytes = 1 << 18;

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(const std::string& path)
      : path_(path), file_(std::fopen(path.c_str(), "rb"), &std::fclose) {
    if (!file_) Fail("{}: cannot be opened ({})", path, std::strerror(errno));
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

class GzipSource : public ByteSource {
 public:
  explicit GzipSource(const std::string& path)
      : path_(path), file_(gzopen(path.c_str(), "rb"), &gzclose) {
    if (!file_) Fail("{}: cannot be opened ({})", path, std::strerror(errno));
    gzbuffer(file_.get(), kBufferBytes);
  }
  size_t Read(char* out, size_t capacity) override {
    const int count = gzread(file_.get(), out, static_cast<unsigned>(capacity));
    // zlib passes a file without the gzip magic through as it is.
    if (gzdirect(file_.get()) != 0) Fail("{}: not gzip data; rename or recompress it", path_);
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    if (count < 0 || code == Z_BUF_ERROR) {
      Fail("{}: damaged or truncated gzip data ({}); fetch or compress the file again", path_,
           code == Z_BUF_ERROR ? "unexpected end of file" : message);
    }
    return static_cast<size_t>(count);
  }
  int64_t disk_position() const override { return gzoffset(file_.get()); }

 private:
  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
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
  size_t pending_ = 0;
  bool flushing_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> OpenByteSource(const std::string& path) {
  if (path.ends_with(".gz")) return std::make_unique<GzipSource>(path);
  if (path.ends_with(".zst")) return std::make_unique<ZstdSource>(path);
  return std::make_unique<PlainSource>(path);
}

LineReader::LineReader(const std::string& path, size_t max_line_bytes)
    : source_(OpenByteSource(path)), max_line_bytes_(max_line_bytes), buffer_(kBufferBytes, '\0') {
  if (Fill() && rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
}

bool LineReader::Fill() {
  rest_ = {buffer_.data(), source_->Read(buffer_.data(), buffer_.size())};
  return !rest_.empty();
}

LineReader::Result LineReader::Next(std::string* line) {
  line->clear();
  bool any = false, too_long = false, complete = false;
  while (!complete && (!rest_.empty() || Fill())) {
    any = true;
    const size_t newline = rest_.find('\n');
    complete = newline != std::string_view::npos;
    const std::string_view piece = rest_.substr(0, newline);
    rest_.remove_prefix(complete ? newline + 1 : piece.size());
    too_long = too_long || line->size() + piece.size() > max_line_bytes_;
    if (!too_long) line->append(piece);
  }
  if (!any) return Result::kEnd;
  ++line_number_;
  if (too_long) {
    line->clear();
    return Result::kTooLong;
  }
  if (complete && line->ends_with('\r')) line->pop_back();
  return Result::kLine;
}

}  // namespace darkhorse
