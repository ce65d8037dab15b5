// What a client is told that asked for something that cannot be had: an HTTP status and OpenAI's
// error object.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace darkhorse {

class ApiError : public Error {
 public:
  // param: the field of the request that is wrong, where one is.
  ApiError(int status, const std::string& message, std::string param = "", std::string code = "")
      : Error(message), status_(status), param_(std::move(param)), code_(std::move(code)) {}
  int status() const { return status_; }
  const std::string& param() const { return param_; }
  const std::string& code() const { return code_; }
  // After how many seconds the same may be had, where the status is 429 or 503.
  int64_t retry_after() const { return retry_after_; }
  void set_retry_after(int64_t seconds) { retry_after_ = seconds; }

 private:
  int status_;
  std::string param_, code_;
  int64_t retry_after_ = 1;
};

// {"error": {"message", "type", "param", "code"}} as text. The type follows from the status.
std::string ErrorBody(const ApiError& error);

// The words that HTTP has for a status, "Not Found".
const char* HttpReason(int status);

}  // namespace darkhorse
