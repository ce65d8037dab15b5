// How much each key may ask: requests at once, and tokens a minute.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "serve/access.h"
#include "serve/scheduler.h"

namespace darkhorse {

// Any thread may ask. Outlives the jobs that it has metered.
class KeyLimits {
 public:
  // `seconds`: a clock that never goes back.
  explicit KeyLimits(const std::vector<AccessKey>& keys,
                     std::function<double()> seconds = SteadySeconds);

  // The job, which counts for keys[key] from now until its last answer is told, or nobody holds it:
  // its prompts' tokens when the requests are accepted, its answers' as they come. ApiError 429,
  // which says after how long to come again: the key has as many requests as it may have at once,
  // or has used the tokens of its minute. They come back evenly, N tokens at most; a request is
  // taken while any are left and may use more than there are, which those after it wait for.
  std::shared_ptr<Job> Metered(size_t key, const std::vector<GenerationRequest>& requests,
                               std::shared_ptr<Job> job);

  // Tokens that a key has used, prompts' and answers'.
  int64_t used(size_t key) const;

 private:
  class MeteredJob;
  struct State {
    AccessKey limits;
    int64_t running = 0;
    int64_t used = 0;
    double left = 0;  // tokens, at the time `at`; below 0: more were used than there were
    double at = 0;
  };
  void Refill(State& state) const;
  void Use(size_t key, int64_t tokens);
  void End(size_t key);

  const std::function<double()> seconds_;
  mutable std::mutex mutex_;
  std::vector<State> states_;
};

}  // namespace darkhorse
