#include "serve/scheduler.h"

#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/error.h"

namespace darkhorse {

Scheduler::Scheduler(Engine& engine, int64_t most) : engine_(engine), most_(most) {
  thread_ = std::thread([this] { Loop(); });
}

Scheduler::~Scheduler() { Stop(); }

std::optional<Scheduler::Ticket> Scheduler::Submit(std::vector<GenerationRequest> requests,
                                                   std::shared_ptr<Job> job, Refusal* refusal) {
  int64_t completions = 0;
  for (const GenerationRequest& request : requests) {
    engine_.Check(request);
    completions += request.samples;
  }
  const std::lock_guard lock(mutex_);
  if (closed_ || jobs_ >= most_) {
    *refusal = closed_ ? Refusal::kClosed : Refusal::kFull;
    return std::nullopt;
  }
  ++jobs_;
  outstanding_ += completions;
  job->OnAccepted();
  const Ticket ticket = next_ticket_++;
  submitted_.push_back({ticket, std::move(requests), std::move(job)});
  wake_.notify_one();
  return ticket;
}

void Scheduler::Cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(ticket);
  wake_.notify_one();
}

void Scheduler::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

bool Scheduler::WaitIdle(double seconds) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, std::chrono::duration<double>(seconds),
                        [this] { return outstanding_ == 0; });
}

void Scheduler::Stop() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

SchedulerStats Scheduler::stats() const {
  const std::lock_guard lock(mutex_);
  SchedulerStats stats = stats_;
  stats.waiting = outstanding_ - stats.running;
  return stats;
}

void Scheduler::Loop() {
  while (true) {
    std::vector<Submitted> submitted;
    std::vector<Ticket> cancelled;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] {
        return stopping_ || !submitted_.empty() || !cancelled_.empty() || !running_.empty();
      });
      submitted.swap(submitted_);
      cancelled.swap(cancelled_);
      if (stopping_) {
        lock.unlock();
        Take(std::move(submitted), cancelled);
        return FailAll(ApiError(503, "the server is shutting down"));
      }
    }
    Take(std::move(submitted), cancelled);
    if (!running_.empty()) Step();
    const std::lock_guard lock(mutex_);
    stats_.engine = engine_.stats();
    stats_.running = engine_.running();
  }
}

void Scheduler::Take(std::vector<Submitted> submitted, const std::vector<Ticket>& cancelled) {
  for (Submitted& one : submitted) {
    Running running{std::move(one.job), {}, 0};
    for (GenerationRequest& request : one.requests) {
      running.left += request.samples;
      const RequestId id = engine_.Submit(std::move(request), one.ticket);
      parts_[id] = {one.ticket, running.ids.size()};
      running.ids.push_back(id);
    }
    running_.emplace(one.ticket, std::move(running));
  }
  for (const Ticket ticket : cancelled) Drop(ticket);
}

// Forgets a job, whose requests leave the engine.
void Scheduler::Drop(Ticket ticket) {
  const auto found = running_.find(ticket);
  if (found == running_.end()) return;
  for (const RequestId id : found->second.ids) {
    engine_.Cancel(id);
    parts_.erase(id);
  }
  const std::shared_ptr<Job> job = std::move(found->second.job);
  const int64_t left = found->second.left;
  running_.erase(found);
  const std::lock_guard lock(mutex_);
  --jobs_;
  outstanding_ -= left;
  if (outstanding_ == 0) idle_.notify_all();
}

void Scheduler::FailAll(const ApiError& why) {
  while (!running_.empty()) {
    const auto [ticket, running] = *running_.begin();
    running.job->OnFailed(why);
    Drop(ticket);
  }
}

void Scheduler::Step() {
  const auto failed = [this](Ticket ticket, const std::string& why) {
    running_.at(ticket).job->OnFailed(ApiError(500, why));
    Drop(ticket);
  };
  // A job that fails fails alone.
  EngineSink sink;
  sink.on_token = [&](const Completion& so_far) {
    const auto part = parts_.find(so_far.request);
    if (part == parts_.end()) return false;
    const auto [ticket, index] = part->second;
    try {
      return running_.at(ticket).job->OnToken(index, so_far);
    } catch (const std::exception& error) {
      failed(ticket, error.what());
      return false;
    }
  };
  sink.on_finished = [&](Completion completion) {
    const auto part = parts_.find(completion.request);
    if (part == parts_.end()) return;
    const auto [ticket, index] = part->second;
    Running& running = running_.at(ticket);
    try {
      running.job->OnFinished(index, std::move(completion));
    } catch (const std::exception& error) {
      return failed(ticket, error.what());
    }
    {
      const std::lock_guard lock(mutex_);
      --outstanding_;
    }
    if (--running.left == 0) Drop(ticket);
  };
  const double begin = SteadySeconds();
  try {
    engine_.Step(sink);
  } catch (const std::exception& error) {  // of the pass itself: nothing of it can go on
    FailAll(ApiError(500, error.what()));
  }
  const double seconds = SteadySeconds() - begin;
  const std::lock_guard lock(mutex_);
  ++stats_.steps;
  stats_.step_seconds += seconds;
  if (outstanding_ == 0) idle_.notify_all();
}

}  // namespace darkhorse
