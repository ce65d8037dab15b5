// One line of JSON for each request that a server answers, without what was asked or answered.
#pragma once

#include <string>

#include "serve/http.h"

namespace darkhorse {

class RequestLog {
 public:
  // Appends to the file; "-": to standard error. Error: it cannot be opened.
  explicit RequestLog(const std::string& path);
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;
  ~RequestLog();

  // Each line is one write, so that others may append or cut the file off meanwhile. What cannot be
  // written is lost.
  void Add(const HttpEvent& event) const;

 private:
  int file_;
};

// {"time": "2026-01-31T23:59:59.250Z", "client", "method", "path", "status", "bytes", "seconds",
// "left"} and a line's end; `time`: seconds since 1970.
std::string LogLine(const HttpEvent& event, double time);

}  // namespace darkhorse
