// One line of JSON for each request that a server answers, without what was asked or answered.
#pragma once

#include <functional>
#include <string>

#include "serve/http.h"

namespace darkhorse {

class RequestLog {
 public:
  // Appends to the file; "-": to standard error. `complain` is told, once, that a line was lost.
  // Error: it cannot be opened.
  RequestLog(const std::string& path, std::function<void(const std::string&)> complain);
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;
  ~RequestLog();

  // Each line is one write where the system takes it so, so that others may append or cut the file
  // off meanwhile. What cannot be written is lost.
  void Add(const HttpEvent& event);

 private:
  const std::string path_;
  const std::function<void(const std::string&)> complain_;
  int file_;
  bool cut_ = false;  // the file ends within a line
  bool complained_ = false;
};

// {"time": "2026-01-31T23:59:59.250Z", "client", "method", "path", "status", "bytes", "seconds",
// "left", and what was counted} and a line's end; `time`: seconds since 1970.
std::string LogLine(const HttpEvent& event, double time);

}  // namespace darkhorse
