#include "sandbox/line_program.h"

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
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/error.h"

namespace darkhorse {
namespace {

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

[[noreturn]] void RunChild(const char* command, const ProgramLimits& limits, bool isolated,
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

struct LineProgram::Ends {
  int in, out, error;
};

struct LineProgram::Copy {
  pid_t pid = -1;
  int in = -1, out = -1, error = -1;  // our ends
  int64_t answered = 0;               // since its start

  std::optional<size_t> question;
  bool retried = false;
  std::string pending;  // of the question's line, not yet written
  std::string reply, complaint;
  std::string stray;  // the last line passed over since the question came
  std::string cannot_start;
  double deadline = 0;  // by SteadySeconds
};

LineProgram::LineProgram(const std::string& command, const ProgramLimits& limits)
    : command_(command), limits_(limits), isolated_(limits.isolate) {
  if (limits.processes < 1 || limits.threads < 1 || limits.cpu_seconds < 1 ||
      limits.memory_bytes < 1 || !(limits.seconds > 0))
    FailUsage("the limits of the program '{}' must all be positive", command);
  for (int64_t i = 0; i < limits.processes; ++i) copies_.push_back(std::make_unique<Copy>());
}

LineProgram::~LineProgram() {
  for (const auto& copy : copies_) Stop(*copy);
}

// A new process, in namespaces of its own unless this system gives none; -1 and errno.
pid_t LineProgram::Fork(const Ends& ends) {
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
std::string LineProgram::Start(Copy& copy) {
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

void LineProgram::Stop(Copy& copy) {
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

void LineProgram::Give(Copy& copy, size_t question, std::span<const std::string> questions) {
  copy.cannot_start = copy.pid <= 0 ? Start(copy) : "";
  copy.question = question;
  copy.stray.clear();
  copy.pending = questions[question];
  copy.deadline = SteadySeconds() + limits_.seconds;
}

// What came of a question: how the program failed, and the line that shows it.
struct LineProgram::Reply {
  std::string failure, line;
  bool late = false;
  bool open = true;  // its output
};

// Writes what is left of the question, reads what is there.
void LineProgram::Exchange(Copy& copy, Reply* reply) {
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
  reply->open = Drain(copy.out, copy.reply, kMaxReply);
}

// False while there is neither an answer nor a failure.
bool LineProgram::Judge(Copy& copy, const LineJudge& judge, Reply* reply) {
  for (size_t end; (end = copy.reply.find('\n')) != std::string::npos;) {
    reply->line = copy.reply.substr(0, end);
    copy.reply.erase(0, end + 1);
    const Judgement judgement = judge(*copy.question, reply->line);
    if (judgement.kind != Judgement::kStray) {
      if (judgement.kind == Judgement::kRefused) reply->failure = judgement.why;
      return true;
    }
    copy.stray = std::exchange(reply->line, "");
  }
  if (copy.reply.size() > kMaxReply) {
    reply->failure = fmt::format("wrote {} bytes without an end of line", copy.reply.size());
    reply->line = copy.reply;
  } else if (!reply->open) {
    // A process that closed its output is as good as gone; one that is going says how. It is left
    // for Stop to reap: until then its number cannot be another's, and neither can its group's.
    siginfo_t info{};
    for (int i = 0; i < 50 && info.si_pid == 0; ++i) {
      if (i > 0) usleep(2000);
      waitid(P_PID, static_cast<id_t>(copy.pid), &info, WEXITED | WNOHANG | WNOWAIT);
    }
    reply->failure = info.si_pid == copy.pid ? DescribeExit(info) : "closed its output";
    reply->line = copy.reply;
  } else if (SteadySeconds() >= copy.deadline) {
    reply->failure = fmt::format("gave no answer within {} s{}", limits_.seconds,
                                 limits_.seconds_name.empty() ? ""
                                                              : ", which " + limits_.seconds_name +
                                                                    " may raise on a busy machine");
    reply->late = true;
    reply->line = copy.stray;  // it may have answered another question
  } else {
    return false;
  }
  return true;
}

// Records what came of a copy's question; the copy is free.
void LineProgram::Finish(Copy& copy, std::string failure, std::vector<std::string>& failures) {
  if (!failure.empty()) {
    ++failures_;
    last_failure_ = failure;
  }
  failures[*copy.question] = std::move(failure);
  copy.question.reset();
  copy.retried = false;
}

// Moves a busy copy on; true once something has come of its question.
bool LineProgram::Advance(Copy& copy, const LineJudge& judge, std::vector<std::string>& failures) {
  if (!copy.cannot_start.empty()) {
    Finish(copy, copy.cannot_start, failures);
    return true;
  }
  Reply reply;
  Exchange(copy, &reply);
  if (!Judge(copy, judge, &reply)) return false;
  std::string failure = std::move(reply.failure);
  // It may have met a limit on its whole life, or said something about an earlier question: what a
  // fresh copy does is this question's own.
  if (!failure.empty() && !reply.late && copy.answered > 0 && !copy.retried) {
    Stop(copy);
    copy.retried = true;
    return false;
  }
  const bool failed = !failure.empty();
  if (failed) {
    if (!reply.line.empty()) failure += ": " + Shown(reply.line);
    const std::string complaint = LastLine(copy.complaint);
    if (complaint.find_first_not_of(' ') != std::string::npos)
      failure += " (standard error: " + complaint + ")";
  } else {
    ++copy.answered;
  }
  // After nonsense, or with half a question unread, the next line could be anyone's.
  if (failed || !copy.pending.empty()) Stop(copy);
  Finish(copy, std::move(failure), failures);
  return true;
}

std::vector<std::string> LineProgram::Ask(std::span<const std::string> questions,
                                          const LineJudge& judge, const StopRequest& stop) {
  std::vector<std::string> failures(questions.size());
  try {
    Ask(questions, judge, stop, failures);
  } catch (...) {  // what the copies were asked is of no use to the next call
    for (const auto& copy : copies_) {
      Stop(*copy);
      copy->question.reset();
      copy->retried = false;
    }
    throw;
  }
  return failures;
}

void LineProgram::Ask(std::span<const std::string> questions, const LineJudge& judge,
                      const StopRequest& stop, std::vector<std::string>& failures) {
  for (size_t next = 0, done = 0; done < questions.size();) {
    LeaveIfAsked(stop);
    std::vector<pollfd> waits;
    double deadline = std::numeric_limits<double>::infinity();
    for (const auto& copy : copies_) {
      if (!copy->question && next < questions.size()) Give(*copy, next++, questions);
      if (!copy->question) continue;
      if (copy->pid <= 0 && copy->cannot_start.empty())
        Give(*copy, *copy->question, questions);  // again, to a fresh one
      if (!copy->cannot_start.empty()) deadline = SteadySeconds();
      waits.push_back({copy->out, POLLIN, 0});
      waits.push_back({copy->error, POLLIN, 0});
      if (!copy->pending.empty()) waits.push_back({copy->in, POLLOUT, 0});
      deadline = std::min(deadline, copy->deadline);
    }
    const double milliseconds = 1e3 * (deadline - SteadySeconds()) + 1;
    poll(waits.data(), waits.size(), static_cast<int>(std::clamp(milliseconds, 0.0, 1e3)));
    for (const auto& copy : copies_) {
      if (copy->question && Advance(*copy, judge, failures)) ++done;
    }
  }
}

}  // namespace darkhorse
