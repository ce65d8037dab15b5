// The thread that owns an engine: requests of many clients join it and leave it between its steps.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "infer/engine.h"
#include "serve/api_error.h"

namespace darkhorse {

// Who hears of the requests that were submitted together. Called on the scheduler's thread, which
// computes nothing meanwhile, but for OnAccepted.
class Job {
 public:
  virtual ~Job() = default;
  // From within Submit: they were not refused. Before anything else.
  virtual void OnAccepted() {}
  // `part`: which of the requests. Returning false ends this completion.
  virtual bool OnToken(size_t part, const Completion& so_far) = 0;
  virtual void OnFinished(size_t part, Completion completion) = 0;
  // Instead of all that was still to come.
  virtual void OnFailed(const ApiError& why) = 0;
};

struct SchedulerStats {
  GenerationStats engine;
  int64_t steps = 0;
  double step_seconds = 0;  // in steps
  int64_t running = 0;      // completions in the engine that have begun
  int64_t waiting = 0;      // that have not
};

class Scheduler {
 public:
  using Ticket = uint64_t;
  enum class Refusal { kFull, kClosed };

  // The engine is this thread's alone until Stop. Submit refuses while `most` jobs or more run or
  // wait, whatever the number of their completions: jobs take turns for the engine's slots.
  Scheduler(Engine& engine, int64_t most);
  ~Scheduler();  // Stop

  // Hands requests to the engine behind those that came before. Error: as Engine::Check.
  std::optional<Ticket> Submit(std::vector<GenerationRequest> requests, std::shared_ptr<Job> job,
                               Refusal* refusal);
  // Ends them; the job hears nothing more, but for what it is being told now.
  void Cancel(Ticket ticket);

  // From now on nothing is taken.
  void Close();
  // Waits at most so long until everything has been answered; returns whether it has.
  bool WaitIdle(double seconds);
  // Ends what runs, whose jobs hear that it failed, and the thread.
  void Stop();

  SchedulerStats stats() const;

 private:
  struct Running {
    std::shared_ptr<Job> job;
    std::vector<RequestId> ids;
    int64_t left = 0;  // completions that have not ended
  };
  struct Submitted {
    Ticket ticket;
    std::vector<GenerationRequest> requests;
    std::shared_ptr<Job> job;
  };
  struct Part {
    Ticket ticket;
    size_t part;
  };

  void Loop();
  void Take(std::vector<Submitted> submitted, const std::vector<Ticket>& cancelled);
  void Step();
  void Drop(Ticket ticket);
  void FailAll(const ApiError& why);

  Engine& engine_;
  const int64_t most_;

  // Of the scheduler's thread alone.
  std::map<Ticket, Running> running_;
  std::map<RequestId, Part> parts_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::vector<Submitted> submitted_;
  std::vector<Ticket> cancelled_;
  Ticket next_ticket_ = 1;
  int64_t jobs_ = 0;         // submitted and not ended
  int64_t outstanding_ = 0;  // their completions
  bool closed_ = false, stopping_ = false;
  SchedulerStats stats_;
  std::thread thread_;
};

}  // namespace darkhorse
