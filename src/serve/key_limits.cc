#include "serve/key_limits.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "serve/api_error.h"

namespace darkhorse {

// Passes on what it hears, and counts tokens.
class KeyLimits::MeteredJob : public Job {
 public:
  MeteredJob(KeyLimits& limits, size_t key, const std::vector<GenerationRequest>& requests,
             std::shared_ptr<Job> job)
      : limits_(limits), key_(key), job_(std::move(job)) {
    for (const GenerationRequest& request : requests) {
      prompt_tokens_ += static_cast<int64_t>(request.prompt.size());
      left_ += request.samples;
    }
  }
  ~MeteredJob() override { End(); }

  void OnAccepted() override {
    limits_.Use(key_, prompt_tokens_);
    job_->OnAccepted();
  }
  bool OnToken(size_t part, const Completion& so_far) override {
    limits_.Use(key_, 1);
    return job_->OnToken(part, so_far);
  }
  // A client that has its answer may ask again: its place is free before it is told the last of it.
  void OnFinished(size_t part, Completion completion) override {
    if (--left_ == 0) End();
    job_->OnFinished(part, std::move(completion));
  }
  void OnFailed(const ApiError& why) override {
    End();
    job_->OnFailed(why);
  }

 private:
  void End() {
    if (!std::exchange(ended_, true)) limits_.End(key_);
  }

  KeyLimits& limits_;
  const size_t key_;
  int64_t prompt_tokens_ = 0, left_ = 0;  // left: answers that have not ended
  bool ended_ = false;
  const std::shared_ptr<Job> job_;
};

KeyLimits::KeyLimits(const std::vector<AccessKey>& keys, std::function<double()> seconds)
    : seconds_(std::move(seconds)) {
  for (const AccessKey& key : keys) {
    const double tokens = static_cast<double>(key.tokens_per_minute.value_or(0));
    states_.push_back({.limits = key, .left = tokens, .at = seconds_()});
  }
}

void KeyLimits::Refill(State& state) const {
  const double now = seconds_();
  const auto most = static_cast<double>(state.limits.tokens_per_minute.value_or(0));
  state.left = std::min(most, state.left + (now - state.at) * most / 60);
  state.at = now;
}

std::shared_ptr<Job> KeyLimits::Metered(size_t key, const std::vector<GenerationRequest>& requests,
                                        std::shared_ptr<Job> job) {
  const std::lock_guard lock(mutex_);
  State& state = states_.at(key);
  const AccessKey& limits = state.limits;
  const std::string who = limits.name.empty() ? "this key" : fmt::format("key '{}'", limits.name);
  if (limits.concurrent && state.running >= *limits.concurrent) {
    throw ApiError(429,
                   fmt::format("{} may have {} at once, and has as many; wait for one", who,
                               Counted(*limits.concurrent, "request")),
                   "", "rate_limit_exceeded");
  }
  Refill(state);
  if (limits.tokens_per_minute && state.left <= 0) {
    // Until one token is there.
    const double wait = (1 - state.left) * 60 / static_cast<double>(*limits.tokens_per_minute);
    ApiError refusal(429,
                     fmt::format("{} may use {} a minute, and has used them; wait", who,
                                 Counted(*limits.tokens_per_minute, "token")),
                     "", "rate_limit_exceeded");
    refusal.set_retry_after(static_cast<int64_t>(std::ceil(wait)));
    throw refusal;
  }
  auto metered = std::make_shared<MeteredJob>(*this, key, requests, std::move(job));
  ++state.running;
  return metered;
}

int64_t KeyLimits::used(size_t key) const {
  const std::lock_guard lock(mutex_);
  return states_.at(key).used;
}

void KeyLimits::Use(size_t key, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  State& state = states_[key];
  state.used += tokens;
  if (!state.limits.tokens_per_minute) return;
  Refill(state);
  state.left -= static_cast<double>(tokens);
}

void KeyLimits::End(size_t key) {
  const std::lock_guard lock(mutex_);
  --states_[key].running;
}

}  // namespace darkhorse
