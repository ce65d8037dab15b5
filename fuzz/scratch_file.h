// Readers that map files are given the bytes as one, in memory where there is such a place.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace darkhorse {

// A folder of this process's own, gone with it.
inline const std::string& ScratchFolder() {
  static const struct Folder {
    std::string path =
        (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + fmt::format("/fuzz-{}", getpid());
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  } folder;
  return folder.path;
}

// The path of a file with these bytes, in place of the one before.
inline std::string ScratchFile(const uint8_t* data, size_t size) {
  const std::string path = ScratchFolder() + "/file";
  FILE* file = std::fopen(path.c_str(), "wb");
  CHECK(file && std::fwrite(data, 1, size, file) == size && std::fclose(file) == 0);
  return path;
}

}  // namespace darkhorse
