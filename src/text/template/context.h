// What a rendering may use, and what it has used. A template is a program of somebody else's: it
// ends in bounded time and memory whatever it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"

namespace darkhorse::jinja {

struct Limits {
  int64_t steps = 10'000'000;    // nodes evaluated, items looked at, and 64 bytes touched
  int64_t memory = 256ll << 20;  // bytes of the values that live at one time
  int64_t output = 64ll << 20;   // bytes of the rendering
  int evaluations = 800;         // that wait for each other: expressions, statements, macros
};

// How deep lists and dicts may hold each other; whatever walks a value recurses as deep.
inline constexpr int kMaxValueDepth = 100;
// How deep expressions and statements of a template may lie in each other.
inline constexpr int kMaxTreeDepth = 250;

// The bytes of living values, which a Charge holds and gives back.
class Meter {
 public:
  explicit Meter(int64_t limit) : limit_(limit) {}
  void Add(size_t bytes) {
    Room(bytes);
    live_ += static_cast<int64_t>(bytes);
  }
  void Free(size_t bytes) { live_ -= static_cast<int64_t>(bytes); }
  // Error: so many more bytes would be too many. Asked before they are allocated.
  void Room(size_t bytes) const {
    if (bytes > static_cast<size_t>(limit_ - live_)) {
      Fail("its values need more than {} bytes", limit_);
    }
  }

 private:
  int64_t limit_;
  int64_t live_ = 0;
};

class Charge {
 public:
  Charge() = default;
  Charge(Meter* meter, size_t bytes) : meter_(meter), bytes_(bytes) { meter_->Add(bytes); }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  Charge(Charge&& other) noexcept { *this = std::move(other); }
  Charge& operator=(Charge&& other) noexcept {
    std::swap(meter_, other.meter_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Charge() {
    if (meter_ != nullptr) meter_->Free(bytes_);
  }
  void Grow(size_t bytes) {
    if (meter_ == nullptr) return;
    meter_->Add(bytes);
    bytes_ += bytes;
  }

 private:
  Meter* meter_ = nullptr;
  size_t bytes_ = 0;
};

class Context {
 public:
  Context(const Limits& limits, const std::optional<std::tm>& now)
      : limits_(limits), meter_(limits.memory), now_(now) {}

  void Step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) Fail("it takes more than {} steps", limits_.steps);
  }
  // Bytes read or written: a string of a million characters is not one step.
  void Touch(size_t bytes) { Step(static_cast<int64_t>(bytes / 64)); }

  // Holds one evaluation; Error if too many wait for each other.
  class Nested {
   public:
    explicit Nested(Context* context) : context_(context) {
      if (++context_->evaluations_ > context_->limits_.evaluations) {
        --context_->evaluations_;
        Fail("more than {} evaluations wait for each other; does a macro call itself for ever?",
             context_->limits_.evaluations);
      }
    }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    ~Nested() { --context_->evaluations_; }

   private:
    Context* context_;
  };

  // Keeps what others may point to until the rendering ends, so that they may point in circles.
  template <typename T>
  T* Own(std::shared_ptr<T> thing) {
    owned_.push_back(thing);
    return thing.get();
  }

  Meter* meter() { return &meter_; }
  const Limits& limits() const { return limits_; }
  const std::optional<std::tm>& now() const { return now_; }

 private:
  Limits limits_;
  Meter meter_;
  std::optional<std::tm> now_;
  std::vector<std::shared_ptr<void>> owned_;
  int64_t steps_ = 0;
  int evaluations_ = 0;
};

}  // namespace darkhorse::jinja
