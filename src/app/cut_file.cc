#include "app/cut_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string_view>

namespace darkhorse {
namespace {

// A handler of signals may allocate nothing.
constexpr size_t kMostLine = 8192;
char g_line[kMostLine];

// Of a line of /proc/self/maps ("from-to ... /path") that has the address, the path; else "".
std::string_view PathIn(std::string_view line, uintptr_t address) {
  const auto number = [&line] {
    uintptr_t value = 0;
    while (!line.empty()) {
      const char c = line.front();
      const bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
      if (!digit && !letter) break;
      value = value * 16 + static_cast<uintptr_t>(digit ? c - '0' : c - 'a' + 10);
      line.remove_prefix(1);
    }
    return value;
  };
  const uintptr_t begin = number();
  if (line.empty()) return {};
  line.remove_prefix(1);
  const uintptr_t end = number();
  const size_t path = line.find('/');
  return begin <= address && address < end && path != line.npos ? line.substr(path)
                                                                : std::string_view();
}

// The file that is mapped at an address; "": none is.
std::string_view MappedAt(uintptr_t address) {
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return {};
  size_t size = 0;
  char byte = 0;
  while (read(maps, &byte, 1) == 1) {
    if (byte != '\n') {
      if (size < kMostLine) g_line[size++] = byte;
      continue;
    }
    const std::string_view path = PathIn({g_line, size}, address);
    if (!path.empty()) return path;
    size = 0;
  }
  return {};
}

void Say(std::string_view text) { (void)!write(STDERR_FILENO, text.data(), text.size()); }

void OnBusError(int signal, siginfo_t* info, void*) {
  static std::atomic_flag taken;
  while (taken.test_and_set()) pause();     // another thread is about to end the program
  const bool is_fault = info->si_code > 0;  // else another process sent it
  const std::string_view path =
      is_fault ? MappedAt(reinterpret_cast<uintptr_t>(info->si_addr)) : std::string_view();
  if (path.empty()) {  // another fault, which comes again as what it is
    std::signal(signal, SIG_DFL);
    return;
  }
  Say("\ndarkhorse: error: ");
  Say(path);
  Say(": it was cut short while it was in use, or its disk cannot be read; replace it by renaming "
      "another to its name, never in place\n");
  _exit(1);
}

}  // namespace

void TellOfCutFiles() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace darkhorse
