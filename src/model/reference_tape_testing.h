// Reverse-mode derivatives of the reference by a tape of scalar operations, and from them a bound
// on the f32 rounding error of any number on the tape (Linnainmaa 1976): to first order the error
// of y is the sum over all operations k of dy/dz_k times the rounding of z_k, so it is at most
//     sum_k |dy/dz_k| charge_k.
// The derivatives are exact, so nothing is lost to correlated errors: interval-like running bounds
// grow a thousandfold a layer here, this one does not.
//
// charge_k. u = 2^-24. A sum of n terms in any order and blocking, fused or not, is off by at most
// (n-1) u sum|term|. The tape adds term by term; charging each addition 2u times the magnitudes
// added so far makes at least that. A product or quotient is charged 2u (one more rounding than it
// needs: a factor x may be computed as 1/x elsewhere), a transcendental function 8u. A constant
// that f32 cannot hold is charged 2u.
//
// Taped<Taped<double>> records a whole reverse sweep on the inner tape: bounds for derivatives.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/reference_testing.h"

namespace darkhorse {

template <typename Base>
class Taped;

template <typename Base>
class Tape {
 public:
  // While it lives, the Taped<Base> numbers of this thread are recorded here.
  Tape() {
    CHECK(current_ == nullptr);
    current_ = this;
  }
  ~Tape() { current_ = nullptr; }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  static const Tape& current() {
    CHECK(current_ != nullptr);
    return *current_;
  }

  // The derivatives of `result` by every recorded number, by index.
  std::vector<Base> Derivatives(const Taped<Base>& result) const {
    return Sweep({{result.index(), Base(1.0)}});
  }

  // How far f32 arithmetic can be off in a sum of numbers times factors, given by index: only the
  // rounding of the numbers counts, not that of the sum.
  using Terms = std::vector<std::pair<int64_t, Base>>;
  double RoundingBound(const Terms& terms) const {
    const std::vector<Base> bar = Sweep(terms);
    double bound = 0;
    for (size_t i = 0; i < bar.size(); ++i) bound += std::abs(bar[i]) * nodes_[i].charge;
    return bound;
  }
  double RoundingBound(const Taped<Base>& result) const {
    return RoundingBound({{result.index(), Base(1.0)}});
  }

 private:
  friend class Taped<Base>;
  struct Node {
    int64_t a, b;
    Base da, db;
    double charge;
  };
  static int64_t Push(const Node& node) {
    CHECK(current_ != nullptr);
    current_->nodes_.push_back(node);
    return static_cast<int64_t>(current_->nodes_.size()) - 1;
  }
  // bar_i = d (sum of terms) / d z_i, last recorded first.
  std::vector<Base> Sweep(const Terms& terms) const {
    const size_t size = nodes_.size();
    std::vector<Base> bar(size, Base(0.0));
    for (const auto& [index, factor] : terms) {
      if (index >= 0) bar[index] += factor;
    }
    for (int64_t i = static_cast<int64_t>(size) - 1; i >= 0; --i) {
      const Node& node = nodes_[i];
      if (node.a >= 0) bar[node.a] += bar[i] * node.da;
      if (node.b >= 0) bar[node.b] += bar[i] * node.db;
    }
    return bar;
  }
  std::vector<Node> nodes_;
  static thread_local Tape* current_;
};

template <typename Base>
thread_local Tape<Base>* Tape<Base>::current_ = nullptr;

template <typename Base>
class Taped {
 public:
  Taped() = default;
  explicit Taped(double constant) : value_(constant), magnitude_(std::abs(constant)) {
    if (static_cast<double>(static_cast<float>(constant)) != constant) Record(kUnit * magnitude_);
  }
  static Taped Inexact(double constant, double error) {
    Taped x(Base(constant), std::abs(constant));
    x.Record(error);
    return x;
  }
  // Something to differentiate by, exact in f32.
  static Taped Variable(const Base& value) {
    Taped x(value, std::abs(RealPart(value)));
    x.Record(0);
    return x;
  }
  const Base& value() const { return value_; }
  int64_t index() const { return index_; }  // on the tape; -1: an exact constant

  Taped operator-() const { return Unary(-value_, Base(-1.0), magnitude_, 0); }
  Taped& operator+=(const Taped& other) { return *this = *this + other; }
  friend Taped operator+(const Taped& a, const Taped& b) {
    const double magnitude = a.magnitude_ + b.magnitude_;
    return Binary(a.value_ + b.value_, a, Base(1.0), b, Base(1.0), magnitude);
  }
  friend Taped operator-(const Taped& a, const Taped& b) {
    const double magnitude = a.magnitude_ + b.magnitude_;
    return Binary(a.value_ - b.value_, a, Base(1.0), b, Base(-1.0), magnitude);
  }
  friend Taped operator*(const Taped& a, const Taped& b) {
    const Base product = a.value_ * b.value_;
    return Binary(product, a, b.value_, b, a.value_, Magnitude(product));
  }
  friend Taped operator/(const Taped& a, const Taped& b) {
    const Base quotient = a.value_ / b.value_;
    return Binary(quotient, a, Base(1.0) / b.value_, b, -(quotient / b.value_),
                  Magnitude(quotient));
  }
  friend Taped exp(const Taped& x) {
    using std::exp;
    const Base value = exp(x.value_);
    return x.Unary(value, value, Magnitude(value), kFunction);
  }
  friend Taped log(const Taped& x) {
    using std::log;
    const Base value = log(x.value_);
    return x.Unary(value, Base(1.0) / x.value_, Magnitude(value), kFunction);
  }
  friend Taped sqrt(const Taped& x) {
    using std::sqrt;
    const Base value = sqrt(x.value_);
    return x.Unary(value, Base(0.5) / value, Magnitude(value), kFunction);
  }
  friend double RealPart(const Taped& x) { return RealPart(x.value_); }
  friend double ErrorBound(const Taped& x) {
    if constexpr (std::is_same_v<Base, double>) return Tape<Base>::current().RoundingBound(x);
    return 0;
  }

 private:
  static constexpr double kUnit = 0x1p-23;
  static constexpr double kFunction = 8 * 0x1p-24;

  Taped(const Base& value, double magnitude) : value_(value), magnitude_(magnitude) {}
  static double Magnitude(const Base& value) { return std::abs(RealPart(value)); }
  void Record(double charge) { index_ = Tape<Base>::Push({-1, -1, Base(0.0), Base(0.0), charge}); }
  Taped Unary(const Base& value, const Base& derivative, double magnitude, double unit) const {
    Taped out(value, magnitude);
    if (index_ >= 0) {
      out.index_ = Tape<Base>::Push({index_, -1, derivative, Base(0.0), unit * magnitude});
    }
    return out;
  }
  static Taped Binary(const Base& value, const Taped& a, const Base& da, const Taped& b,
                      const Base& db, double magnitude) {
    Taped out(value, magnitude);
    if (a.index_ >= 0 || b.index_ >= 0) {
      out.index_ = Tape<Base>::Push({a.index_, b.index_, da, db, kUnit * magnitude});
    }
    return out;
  }

  Base value_{};
  double magnitude_ = 0;  // of what was added up to value_
  int64_t index_ = -1;
};

}  // namespace darkhorse
