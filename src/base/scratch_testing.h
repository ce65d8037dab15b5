// A directory that goes when the test does, and the message of an Error.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace darkhorse {

class ScratchDirectory {
 public:
  ScratchDirectory() {
    // In memory where there is such a place: the tests sync to the disk hundreds of times.
    const std::string base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_ = base + "/darkhorse-XXXXXX";
    if (!mkdtemp(path_.data())) ADD_FAILURE() << "cannot make " << path_;
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  // Writes a file and the folders that it lies in; returns its path.
  std::string Write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    WriteFileAtomically(*this / name, bytes);
    return *this / name;
  }

 private:
  std::string path_;
};

// What the Error that body throws says, in one line; "" if it throws none.
template <typename Body>
std::string MessageOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

inline testing::AssertionResult Says(const std::string& message, const std::string& part) {
  if (message.find(part) != std::string::npos && message.find('\n') == std::string::npos) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "'" << message << "' lacks '" << part << "'";
}

}  // namespace darkhorse
