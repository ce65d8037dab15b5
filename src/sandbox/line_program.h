// A program of the user's that answers lines with lines, in any language. Several copies of it run
// side by side, each with one question at a time. They are the user's, but what they run may be a
// model's: limits apply, and whatever a copy does wrong costs the question that it was given, and
// the copy, which is started again; never the caller.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/interrupt.h"

namespace darkhorse {

struct ProgramLimits {
  int64_t processes = 2;                    // copies of the program
  double seconds = 10;                      // for one question, the program's start included
  int64_t cpu_seconds = 600;                // of a process in its life (RLIMIT_CPU)
  int64_t memory_bytes = int64_t{4} << 30;  // address space of a process (RLIMIT_AS)
  int64_t threads = 256;                    // threads and processes of one copy (RLIMIT_NPROC)
  bool isolate = true;  // from the network and from other processes, where the kernel allows it
  std::string seconds_name;  // what the user calls `seconds`, for messages; "": nothing
};

// Whether an error number of clone() says that this system gives no namespaces at all, rather than
// that it is short of something now. Where a copy was isolated before, it plainly does give them.
bool IsolationIsRefused(int error, bool isolated_before);

// What a line of the program's is to the question that its copy was given.
struct Judgement {
  enum Kind {
    kStray,     // no answer to it: passed over
    kAccepted,  // its answer
    kRefused,   // the program went wrong
  };
  Kind kind = kAccepted;
  std::string why;  // of kRefused, after "the program": "wrote a line that is not JSON"
};
using LineJudge = std::function<Judgement(size_t question, std::string_view line)>;

class LineProgram {
 public:
  // `command` is the shell's. Nothing is started yet. UsageError: limits that are not positive.
  LineProgram(const std::string& command, const ProgramLimits& limits);
  LineProgram(const LineProgram&) = delete;
  LineProgram& operator=(const LineProgram&) = delete;
  ~LineProgram();  // ends the copies and all that they started

  // Gives every question, a line with its end, to a copy; `judge` sees what the copies write. One
  // result per question, in order: "" where a line was accepted. Otherwise how the program failed,
  // or could not be started, with the offending line and the last one that it wrote to standard
  // error; unless it gave no answer in time, a copy started anew was tried before. Interruption.
  std::vector<std::string> Ask(std::span<const std::string> questions, const LineJudge& judge,
                               const StopRequest& stop);

  int64_t failures() const { return failures_; }  // questions that the program failed on
  const std::string& last_failure() const { return last_failure_; }
  // Whether copies are cut off from the network and from other processes. Kernels that forbid user
  // namespaces do not allow it; CPU, memory and time are limited all the same.
  bool isolated() const { return isolated_; }

 private:
  struct Copy;
  struct Ends;
  struct Reply;
  void Ask(std::span<const std::string> questions, const LineJudge& judge, const StopRequest& stop,
           std::vector<std::string>& failures);
  std::string Start(Copy& copy);
  pid_t Fork(const Ends& ends);
  void Stop(Copy& copy);
  void Give(Copy& copy, size_t question, std::span<const std::string> questions);
  void Exchange(Copy& copy, Reply* reply);
  bool Judge(Copy& copy, const LineJudge& judge, Reply* reply);
  bool Advance(Copy& copy, const LineJudge& judge, std::vector<std::string>& failures);
  void Finish(Copy& copy, std::string failure, std::vector<std::string>& failures);

  std::string command_;
  ProgramLimits limits_;
  std::vector<std::unique_ptr<Copy>> copies_;
  int64_t failures_ = 0;
  std::string last_failure_;
  bool isolated_ = true;
  bool proven_ = false;  // a copy was isolated
};

}  // namespace darkhorse
