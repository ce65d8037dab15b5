// Server-sent events, as an answer's pieces come.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

class EventStream {
 public:
  // The data of the events that this piece ends. Comments and fields other than `data` are passed
  // over; an event without data is none.
  std::vector<std::string> Next(std::string_view piece);

 private:
  void Line(std::string_view line, std::vector<std::string>* events);

  std::string line_;  // that has not ended
  std::string data_;  // of the event that has not ended, a line's end behind each line
};

}  // namespace darkhorse
