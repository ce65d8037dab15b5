// Where a pass's time goes, by part of the model. Every moment is charged to one part: the
// innermost that is being computed.
#pragma once

#include <array>
#include <cstddef>

#include "base/clock.h"

namespace darkhorse {

enum class Part {
  kAttention,
  kDenseFeedForward,
  kExperts,  // with their dispatch, without the router
  kRouter,
  kMtpModules,  // all of their computation but the head
  kHead,        // and the loss
  kRest,        // embedding, norms, residual connections
  kCount,
};

class PartClock {
 public:
  // In the time that it was the innermost part of a PartTimer.
  double seconds(Part part) const { return seconds_[static_cast<size_t>(part)]; }

 private:
  friend class PartTimer;
  // Charges the time since the last call to the part that ran; `part` runs from now on. Returns the
  // part that ran.
  Part Switch(Part part) {
    const double now = SteadySeconds();
    if (running_ != Part::kCount) seconds_[static_cast<size_t>(running_)] += now - since_;
    since_ = now;
    const Part before = running_;
    running_ = part;
    return before;
  }

  std::array<double, static_cast<size_t>(Part::kCount)> seconds_{};
  Part running_ = Part::kCount;  // none
  double since_ = 0;
};

// Charges the time of its life, without that of timers within it, to `part`. A null clock: nothing.
class PartTimer {
 public:
  PartTimer(PartClock* clock, Part part) : clock_(clock) {
    if (clock_) before_ = clock_->Switch(part);
  }
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;
  ~PartTimer() {
    if (clock_) clock_->Switch(before_);
  }

 private:
  PartClock* clock_;
  Part before_ = Part::kCount;
};

}  // namespace darkhorse
