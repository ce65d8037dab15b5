// A reward computed by a program of the user's, in any language: one JSON object a line in,
//   {"id": 7, "prompt": "…", "completion": "…", "answer": "…", "meta": …}
// one a line out,
//   {"id": 7, "score": 0.5, "parts": {"answer": 0, "format": 1}}       ("parts" may be left out)
// with 0 <= score <= 1. Several copies run side by side, each with one sample at a time. They are
// the user's, but what they run may be a model's: limits apply, and whatever a copy does wrong
// costs the sample it was given and the copy, which is started again; never the run.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "task/task.h"

namespace darkhorse {

struct RewardLimits {
  int64_t processes = 2;                    // copies of the program
  double seconds = 10;                      // for one sample, the program's start included
  int64_t cpu_seconds = 600;                // of a process in its life (RLIMIT_CPU)
  int64_t memory_bytes = int64_t{4} << 30;  // address space of a process (RLIMIT_AS)
  int64_t threads = 256;                    // threads and processes of one copy (RLIMIT_NPROC)
  bool isolate = true;  // from the network and from other processes, where the kernel allows it
};

// Whether an error number of clone() says that this system gives no namespaces at all, rather than
// that it is short of something now. Where a copy was isolated before, it plainly does give them.
bool IsolationIsRefused(int error, bool isolated_before);

struct RewardRequest {
  std::string prompt, completion, answer;
  std::string meta = "null";  // JSON
};

class ExternalReward {
 public:
  // `command` is the shell's. Nothing is started yet.
  ExternalReward(const std::string& command, const RewardLimits& limits);
  ExternalReward(const ExternalReward&) = delete;
  ExternalReward& operator=(const ExternalReward&) = delete;
  ~ExternalReward();  // ends the copies and all that they started

  // One score a request, in order; correct where it is 1. Where the program sends no part "format",
  // it is whether the tags are in order. Where the program failed, or could not be started, it is
  // `failed` and `why` says how, with the offending line or the last one it wrote to standard
  // error; unless it gave no answer in time, a copy started anew was tried before. Empty lines, and
  // lines about samples that have been answered, are passed over. UsageError: meta that is not
  // JSON. Interruption (base/interrupt.h).
  std::vector<Score> ScoreAll(std::span<const RewardRequest> requests);

  int64_t failures() const { return failures_; }  // samples that the program failed on
  const std::string& last_failure() const { return last_failure_; }  // the `why` of the last one
  // Whether copies are cut off from the network and from other processes. Kernels that forbid user
  // namespaces do not allow it; CPU, memory and time are limited all the same.
  bool isolated() const { return isolated_; }

 private:
  struct Copy;
  struct Ends;
  std::string Start(Copy& copy);
  pid_t Fork(const Ends& ends);
  void Stop(Copy& copy);
  void Give(Copy& copy, size_t request, const std::vector<std::string>& lines);
  bool Advance(Copy& copy, std::vector<Score>& scores);

  std::string command_;
  RewardLimits limits_;
  std::vector<std::unique_ptr<Copy>> copies_;
  int64_t failures_ = 0;
  std::string last_failure_;
  size_t first_id_ = 0;  // of the next ScoreAll: an id comes once, so a late line fits no request
  bool isolated_ = true;
  bool proven_ = false;  // a copy was isolated
};

}  // namespace darkhorse
