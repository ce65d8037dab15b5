#include "data/line_reader.h"

#include "base/error.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

constexpr size_t kBufferBytes = 1 << 18;

}  // namespace

LineReader::LineReader(const std::string& path, size_t max_line_bytes)
    : source_(OpenByteSource(path)), max_line_bytes_(max_line_bytes), buffer_(kBufferBytes, '\0') {
  if (Fill() && IsWideText(rest_)) Fail("{}: {}", path, kWideTextCure);
  if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
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
