#include "serve/event_stream.h"

#include <utility>

namespace darkhorse {

std::vector<std::string> EventStream::Next(std::string_view piece) {
  std::vector<std::string> events;
  for (size_t end; (end = piece.find('\n')) != piece.npos; piece.remove_prefix(end + 1)) {
    line_ += piece.substr(0, end);
    if (line_.ends_with('\r')) line_.pop_back();
    Line(std::exchange(line_, {}), &events);
  }
  line_ += piece;
  return events;
}

void EventStream::Line(std::string_view line, std::vector<std::string>* events) {
  if (line.empty()) {
    if (data_.empty()) return;
    data_.pop_back();
    events->push_back(std::exchange(data_, {}));
    return;
  }
  constexpr std::string_view kData = "data:";
  if (!line.starts_with(kData)) return;
  line.remove_prefix(kData.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  data_ += line;
  data_ += '\n';
}

}  // namespace darkhorse
