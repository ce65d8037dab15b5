#include "rl/external_reward.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr size_t kMaxReply = 1 << 16;
constexpr size_t kShown = 160;  // bytes of an offending line that are worth a message

std::string Shown(std::string_view line) {
  std::string text(line.substr(0, kShown));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  }
  return line.size() > kShown ? text + "…" : text;
}

std::string LastLine(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return Shown(text.substr(text.rfind('\n') + 1));
}

std::string RequestLine(size_t id, const RewardRequest& r) {
  Json meta;
  try {
    meta = Json::parse(r.meta);
  } catch (const Json::exception&) {
    FailUsage("reward request {}: its meta is not JSON: {}", id, Shown(r.meta));
  }
  // Completions may be any bytes; JSON wants UTF-8.
  return Json{{"id", id},
              {"prompt", r.prompt},
              {"completion", r.completion},
              {"answer", r.answer},
              {"meta", std::move(meta)}}
             .dump(-1, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

// Whether a line answers nothing that is asked now: an empty one, or one for an earlier id (ids
// come once).
bool IsStray(std::string_view line, size_t id) {
  if (line.find_first_not_of(" \t\r") == line.npos) return true;
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const Json theirs = json.value("id", Json());
  return theirs.is_number_unsigned() && theirs.get<size_t>() < id;
}

// The score of a reply, or what is wrong with it.
std::string ParseReply(std::string_view line, size_t id, Score& score) {
  Json json;
  try {
    json = Json::parse(line);
  } catch (const Json::exception&) {
    return "wrote a line that is not JSON";
  }
  const auto bad = [](const Json& value) {
    return !value.is_number() || !(value.get<double>() >= 0 && value.get<double>() <= 1);
  };
  if (!json.is_object()) return "wrote a line that is not a JSON object";
  if (json.value("id", Json()) != Json(id)) return fmt::format("answered without \"id\": {}", id);
  if (!json.contains("score")) return "answered without a \"score\"";
  if (bad(json["score"])) return "gave a score that is not a number from 0 to 1";
  score.value = json["score"].get<double>();
  const Json parts = json.value("parts", Json::object());
  if (!parts.is_object()) return "gave \"parts\" that are not an object of numbers";
  for (const auto& [name, value] : parts.items()) {
    if (!value.is_number()) return "gave \"parts\" that are not an object of numbers";
    score.parts.emplace_back(name, value.get<double>());
  }
  score.correct = score.value == 1;
  return "";
}

std::string DescribeExit(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return fmt::format("ended with exit code {}", info.si_status);
  return fmt::format("was ended by signal {} ({})", info.si_status, strsignal(info.si_status));
}

// Everything below runs between fork and exec: system calls only.
void WriteFileRaw(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t written = write(fd, text, strlen(text));
  close(fd);
}

void Limit(int resource, int64_t value) {
  const rlimit limit{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

[[noreturn]] void RunChild(const char* command, const RewardLimits& limits, bool isolated,
                           const char* uid_map, const char* gid_map, int in, int out, int error) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (isolated) {
    WriteFileRaw("/proc/self/setgroups", "deny");
    WriteFileRaw("/proc/self/uid_map", uid_map);
    WriteFileRaw("/proc/self/gid_map", gid_map);
    // In a namespace of its own the copy's processes are counted alone; elsewhere this would count
    // all of the user's.
    Limit(RLIMIT_NPROC, limits.threads);
  }
  WriteFileRaw("/proc/self/oom_score_adj", "1000");  // before the run itself
  Limit(RLIMIT_CPU, limits.cpu_seconds);
  Limit(RLIMIT_AS, limits.memory_bytes);
  Limit(RLIMIT_CORE, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  dup2(in, 0);
  dup2(out, 1);
  dup2(error, 2);
  syscall(SYS_close_range, 3u, ~0u, 0u);
  execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  _exit(127);
}

// Both ends of a connection; closes what was not taken.
struct Connection {
  int ours = -1, theirs = -1;
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    for (const int fd : {ours, theirs}) {
      if (fd >= 0) close(fd);
    }
  }
  int Take() { return std::exchange(ours, -1); }
};

bool OpenSocket(Connection& c) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  c.ours = ends[0];
  c.theirs = ends[1];
  return true;
}

bool OpenPipe(Connection& c) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  c.ours = ends[0];
  c.theirs = ends[1];
  return true;
}

}  // namespace

bool IsolationIsRefused(int error, bool isolated_before) {
  // ENOSPC, EUSERS: no namespace is left of as many as this system allows, which may be none.
  return !isolated_before && (error == EPERM || error == EACCES || error == EINVAL ||
                              error == ENOSYS || error == ENOSPC || error == EUSERS);
}

struct ExternalReward::Ends {
  int in, out, error;
};

struct ExternalReward::Copy {
  pid_t pid = -1;
  int in = -1, out = -1, error = -1;  // our ends
  int64_t answered = 0;               // since its start

  std::optional<size_t> request;
  bool retried = false;
  std::string pending;  // of the request's line, not yet written
  std::string reply, complaint;
  std::string stray;  // the last line passed over since the request came
  std::string cannot_start;
  Clock::time_point deadline;
};

ExternalReward::ExternalReward(const std::string& command, const RewardLimits& limits)
    : command_(command), limits_(limits), isolated_(limits.isolate) {
  if (limits.processes < 1 || limits.threads < 1 || limits.cpu_seconds < 1 ||
      limits.memory_bytes < 1 || !(limits.seconds > 0))
    FailUsage("the limits of the reward program '{}' must all be positive", command);
  for (int64_t i = 0; i < limits.processes; ++i) copies_.push_back(std::make_unique<Copy>());
}

ExternalReward::~ExternalReward() {
  for (const auto& copy : copies_) Stop(*copy);
}

// A new process, in namespaces of its own unless this system gives none; -1 and errno.
pid_t ExternalReward::Fork(const Ends& ends) {
  const std::string uid_map = fmt::format("{0} {0} 1", getuid());
  const std::string gid_map = fmt::format("{0} {0} 1", getgid());
  // In a process namespace of its own the copy is process 1: when it goes, all it started goes.
  constexpr long kIsolated = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | SIGCHLD;
  // Want of processes or memory passes: a quarter of a second in all.
  for (int attempt = 0;; ++attempt) {
    const pid_t pid =
        isolated_ ? static_cast<pid_t>(syscall(SYS_clone, kIsolated, 0, 0, 0, 0)) : fork();
    if (pid == 0) {
      RunChild(command_.c_str(), limits_, isolated_, uid_map.c_str(), gid_map.c_str(), ends.in,
               ends.out, ends.error);
    }
    if (pid > 0) {
      proven_ = proven_ || isolated_;
      return pid;
    }
    if (isolated_ && IsolationIsRefused(errno, proven_)) {
      isolated_ = false;
    } else if (attempt == 8) {
      return -1;
    } else {
      usleep(1000u << attempt);
    }
  }
}

// Returns what went wrong, or "".
std::string ExternalReward::Start(Copy& copy) {
  // A socket for its input: a write to a copy that is gone then fails instead of raising SIGPIPE.
  Connection in, out, error;
  pid_t pid = -1;
  if (OpenSocket(in) && OpenPipe(out) && OpenPipe(error))
    pid = Fork({in.theirs, out.theirs, error.theirs});
  if (pid < 0) return fmt::format("cannot be started: {}", strerror(errno));
  setpgid(pid, pid);  // as the copy does: whoever is first, its group is there to be ended
  copy.pid = pid;
  copy.in = in.Take();
  copy.out = out.Take();
  copy.error = error.Take();
  copy.answered = 0;
  copy.reply.clear();
  copy.complaint.clear();
  for (const int fd : {copy.in, copy.out, copy.error})
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return "";
}

void ExternalReward::Stop(Copy& copy) {
  for (int* fd : {&copy.in, &copy.out, &copy.error}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  if (copy.pid <= 0) return;
  kill(-copy.pid, SIGKILL);
  kill(copy.pid, SIGKILL);
  while (waitpid(copy.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  copy.pid = -1;
}

// Reads what is there; false at the end of the stream.
static bool Drain(int fd, std::string& into, size_t limit) {
  char buffer[4096];
  while (into.size() <= limit) {
    const ssize_t count = read(fd, buffer, sizeof(buffer));
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return false;
    into.append(buffer, static_cast<size_t>(count));
  }
  return true;
}

void ExternalReward::Give(Copy& copy, size_t request, const std::vector<std::string>& lines) {
  copy.cannot_start = copy.pid <= 0 ? Start(copy) : "";
  copy.request = request;
  copy.stray.clear();
  copy.pending = lines[request];
  copy.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(limits_.seconds));
}

// Moves a busy copy on; true once its request has a score.
bool ExternalReward::Advance(Copy& copy, std::vector<Score>& scores) {
  if (!copy.cannot_start.empty()) {
    ++failures_;
    scores[*copy.request].failed = true;
    last_failure_ = scores[*copy.request].why = "the reward program " + copy.cannot_start;
    copy.request.reset();
    copy.retried = false;
    return true;
  }
  while (!copy.pending.empty()) {
    const ssize_t sent = send(copy.in, copy.pending.data(), copy.pending.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      // A copy that reads no more may have answered all the same: what it wrote decides.
      if (errno == EPIPE || errno == ECONNRESET) copy.pending.clear();
      break;
    }
    copy.pending.erase(0, static_cast<size_t>(sent));
  }
  if (copy.error >= 0 && !Drain(copy.error, copy.complaint, 1 << 16)) {
    close(copy.error);
    copy.error = -1;
  }
  if (copy.complaint.size() > 4096) copy.complaint.erase(0, copy.complaint.size() - 4096);
  const bool open = Drain(copy.out, copy.reply, kMaxReply);

  const size_t request = *copy.request;
  Score score;
  std::string failure, line;
  bool late = false;
  size_t end;
  while ((end = copy.reply.find('\n')) != std::string::npos) {
    line = copy.reply.substr(0, end);
    copy.reply.erase(0, end + 1);
    if (!IsStray(line, first_id_ + request)) break;
    copy.stray = std::exchange(line, "");
  }
  if (end != std::string::npos) {
    failure = ParseReply(line, first_id_ + request, score);
  } else if (copy.reply.size() > kMaxReply) {
    line = copy.reply;
    failure = fmt::format("wrote {} bytes without an end of line", copy.reply.size());
  } else if (!open) {
    // A process that closed its output is as good as gone; one that is going says how. It is left
    // for Stop to reap: until then its number cannot be another's, and neither can its group's.
    siginfo_t info{};
    for (int i = 0; i < 50 && info.si_pid == 0; ++i) {
      if (i > 0) usleep(2000);
      waitid(P_PID, static_cast<id_t>(copy.pid), &info, WEXITED | WNOHANG | WNOWAIT);
    }
    failure = info.si_pid == copy.pid ? DescribeExit(info) : "closed its output";
    line = copy.reply;
  } else if (Clock::now() >= copy.deadline) {
    failure = fmt::format("gave no answer within {} s (problems.reward_seconds)", limits_.seconds);
    late = true;
    line = copy.stray;  // it may have answered to a wrong id
  } else {
    return false;
  }
  // It may have met a limit on its whole life, or said something about an earlier sample: what a
  // fresh copy does is this sample's own.
  if (!failure.empty() && !late && copy.answered > 0 && !copy.retried) {
    Stop(copy);
    copy.retried = true;
    return false;
  }

  if (failure.empty()) {
    ++copy.answered;
    score.why = "the reward program's score";
  } else {
    ++failures_;
    score = {};
    score.failed = true;
    score.why = "the reward program " + failure;
    if (!line.empty()) score.why += ": " + Shown(line);
    const std::string complaint = LastLine(copy.complaint);
    if (complaint.find_first_not_of(' ') != std::string::npos)
      score.why += " (standard error: " + complaint + ")";
    last_failure_ = score.why;
  }
  // After nonsense, or with half a request unread, the next line could be anyone's.
  if (!failure.empty() || !copy.pending.empty()) Stop(copy);
  scores[request] = std::move(score);
  copy.request.reset();
  copy.retried = false;
  return true;
}

std::vector<Score> ExternalReward::ScoreAll(std::span<const RewardRequest> requests) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < requests.size(); ++i)
    lines.push_back(RequestLine(first_id_ + i, requests[i]));
  std::vector<Score> scores(requests.size());
  for (size_t next = 0, done = 0; done < requests.size();) {
    if (Interrupted()) {
      for (const auto& copy : copies_) {
        Stop(*copy);
        copy->request.reset();
        copy->retried = false;
      }
      first_id_ += requests.size();
      throw Interruption();
    }
    std::vector<pollfd> waits;
    Clock::time_point deadline = Clock::time_point::max();
    for (const auto& copy : copies_) {
      if (!copy->request && next < requests.size()) Give(*copy, next++, lines);
      if (!copy->request) continue;
      if (copy->pid <= 0 && copy->cannot_start.empty())
        Give(*copy, *copy->request, lines);  // again, to a fresh one
      if (!copy->cannot_start.empty()) deadline = Clock::now();
      waits.push_back({copy->out, POLLIN, 0});
      waits.push_back({copy->error, POLLIN, 0});
      if (!copy->pending.empty()) waits.push_back({copy->in, POLLOUT, 0});
      deadline = std::min(deadline, copy->deadline);
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count() + 1;
    poll(waits.data(), waits.size(), static_cast<int>(std::clamp<int64_t>(left, 0, 1000)));
    for (const auto& copy : copies_) {
      if (copy->request && Advance(*copy, scores)) ++done;
    }
  }
  first_id_ += requests.size();
  for (size_t i = 0; i < requests.size(); ++i) {
    const Extracted answer = ExtractAnswer(requests[i].completion);
    if (answer.found && answer.answer.size() <= kMaxAnswerLength) scores[i].parsed = answer.answer;
    auto& parts = scores[i].parts;
    const auto named = [](const auto& part) { return part.first == "format"; };
    if (std::none_of(parts.begin(), parts.end(), named))
      parts.emplace_back("format", answer.found ? 1 : 0);
  }
  return scores;
}

}  // namespace darkhorse
