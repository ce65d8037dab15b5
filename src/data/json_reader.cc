#include "data/json_reader.h"

#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

constexpr size_t kBufferBytes = 1 << 18;

bool IsSpace(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

JsonReader::JsonReader(const std::string& path, size_t max_value_bytes)
    : source_(OpenByteSource(path)),
      max_value_bytes_(max_value_bytes),
      buffer_(kBufferBytes, '\0') {
  size_ = source_->Read(buffer_.data(), buffer_.size());
  const std::string_view start(buffer_.data(), size_);
  if (IsWideText(start)) Fail("{}: {}", path, kWideTextCure);
  if (start.starts_with("\xEF\xBB\xBF")) at_ = 3;
}

int JsonReader::Peek() {
  if (at_ == size_) {
    at_ = 0;
    size_ = source_->Read(buffer_.data(), buffer_.size());
  }
  return at_ == size_ ? -1 : static_cast<unsigned char>(buffer_[at_]);
}

void JsonReader::Advance() { line_ += buffer_[at_++] == '\n'; }

// White space; in an array commas too.
void JsonReader::SkipBetween() {
  while (IsSpace(Peek()) || (in_array_ && Peek() == ',')) Advance();
}

JsonReader::Result JsonReader::Next(std::string* value) {
  value->clear();
  SkipBetween();
  if (!std::exchange(started_, true) && Peek() == '[') {
    in_array_ = true;
    Advance();
    SkipBetween();
  }
  if (in_array_ && Peek() == ']') {
    in_array_ = false;  // what may follow is read as if nothing had come before
    Advance();
    SkipBetween();
  }
  value_line_ = line_;
  if (Peek() < 0) return std::exchange(in_array_, false) ? Result::kUnclosed : Result::kEnd;
  int64_t depth = 0;
  bool quoted = false, escaped = false, too_long = false;
  for (int c; (c = Peek()) >= 0;) {
    const bool between = depth == 0 && !quoted;
    if (between && (IsSpace(c) || (in_array_ && (c == ',' || c == ']')))) break;
    too_long = too_long || value->size() == max_value_bytes_;
    if (!too_long) *value += static_cast<char>(c);
    Advance();
    if (quoted) {
      quoted = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else {
      quoted = c == '"';
      depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    }
    if (depth <= 0 && !quoted && (c == '}' || c == ']')) break;
  }
  if (depth > 0 || quoted) {
    in_array_ = false;
    return Result::kUnclosed;
  }
  return too_long ? Result::kTooLong : Result::kValue;
}

}  // namespace darkhorse
