#include "serve/request_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/error.h"
#include "serve/api_response.h"

namespace darkhorse {
namespace {

constexpr size_t kMostPath = 200;  // bytes told of a path

std::string Spell(double time) {
  auto milliseconds = static_cast<int64_t>(std::floor(time * 1000));
  const auto seconds = static_cast<time_t>(milliseconds / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     milliseconds % 1000);
}

}  // namespace

std::string LogLine(const HttpEvent& event, double time) {
  nlohmann::ordered_json line = {{"time", Spell(time)},
                                 {"client", event.client},
                                 {"method", Printable(event.method, kMostPath)},
                                 {"path", Printable(event.path, kMostPath)},
                                 {"status", event.status},
                                 {"bytes", event.bytes},
                                 {"seconds", std::round(event.seconds * 1e6) / 1e6},
                                 {"left", event.left}};
  for (const auto& [name, count] : event.counts) line[name] = count;
  return DumpJson(line) + "\n";
}

RequestLog::RequestLog(const std::string& path, std::function<void(const std::string&)> complain)
    : path_(path == "-" ? "standard error" : Printable(path)),
      complain_(std::move(complain)),
      file_(path == "-" ? STDERR_FILENO
                        : open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640)) {
  if (file_ < 0) Fail("{}: cannot append to it: {}", Printable(path), std::strerror(errno));
}

RequestLog::~RequestLog() {
  if (file_ != STDERR_FILENO) close(file_);
}

void RequestLog::Add(const HttpEvent& event) {
  using std::chrono::system_clock;
  const double now = std::chrono::duration<double>(system_clock::now().time_since_epoch()).count();
  const std::string line = (cut_ ? "\n" : "") + LogLine(event, now);
  size_t put = 0;
  while (put < line.size()) {
    const ssize_t size = write(file_, line.data() + put, line.size() - put);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    put += static_cast<size_t>(size);
  }
  const int why = errno;
  if (put > 0) cut_ = put < line.size();
  if (put == line.size() || std::exchange(complained_, true)) return;
  complain_(fmt::format("{}: cannot append to it: {}; requests are missing in it until it can be",
                        path_, std::strerror(why)));
}

}  // namespace darkhorse
