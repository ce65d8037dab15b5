// `darkhorse watch`: a run's report over HTTP, as it is now.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "serve/http.h"

namespace darkhorse {

// Answers requests for the page of a run, which tells browsers to ask again. It reads the run's
// files and writes none.
class RunWatch {
 public:
  // refresh_seconds: after which a browser asks again, and within which nothing is read again,
  // however many ask.
  RunWatch(std::string run, int refresh_seconds)
      : run_(std::move(run)), refresh_seconds_(refresh_seconds) {}

  // From any thread.
  void Answer(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);

 private:
  struct Page {
    int status = 200;
    std::string type, text;
  };
  Page Read() const;
  Page Now();

  const std::string run_;
  const int refresh_seconds_;
  std::mutex mutex_;  // of the following
  Page page_;
  double read_ = -1e9;  // when, of the steady clock
};

}  // namespace darkhorse
