// Errors. What the user or the disk got wrong is an Error (it names the thing, the value and the
// cure); our own bugs are CHECKs, which stay on in release builds. Libraries throw; only src/app
// prints or exits. The one exception is a failed CHECK, which prints its line and aborts.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace darkhorse {

// Something outside the program is wrong: a file, a value, the disk. Exit code 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// The command line or a recipe is wrong. Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void FailUsage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

// Text from outside (a file's name, a key, a line of another program's) made fit for a message of
// one line: what may command a terminal, and bytes that are not UTF-8, are spelt out (base/utf8.h).
// What is longer than `longest` bytes is cut between two characters and ends in "...".
std::string Printable(std::string_view text, size_t longest = 200);

[[noreturn]] void CheckFailed(const char* file, int line, const char* what);

}  // namespace darkhorse

#define CHECK(condition) \
  ((condition) ? (void)0 : ::darkhorse::CheckFailed(__FILE__, __LINE__, #condition))
