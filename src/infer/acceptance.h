// Whether guessing pays for a sequence, from how its guesses have fared.
//
// A pass that computes one row costs 1, of which reading the weights is most; each further row
// costs r. So in a pass of B sequences a token costs t = (1 + r (B - 1)) / B. A guessed row costs
// r, and making the guess, likewise for all sequences together, `cost` t. It saves a token's cost
// where it is right, and pays where that has a chance of more than
//   r / t + cost,
// of which the first part is r for one sequence and near 1 for many. The d-th guess is right
// where all before it are, too: with chance mean^d, for a running mean of how often the next token
// was the guessed one. What pays is a matter of time alone: no token depends on it, nor does it
// read a clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace darkhorse {

class Acceptance {
 public:
  // r: (8 v1 / v8 - 1) / 7, where one sequence has v1 tokens a second and eight together have v8.
  static constexpr double kRowCost = 0.25;
  // Where no cache holds the weights of a pass, in any format: of as many parameters.
  static constexpr double kRowCostFromMemory = 0.125;
  static constexpr double kParametersInMemory = 1e9;
  static double RowCost(double active_parameters) {
    return active_parameters < kParametersInMemory ? kRowCost : kRowCostFromMemory;
  }
  static constexpr double kWeight = 1.0 / 8;  // of the latest guess in the mean

  // So many guesses in a row were right, and the next one was wrong or not looked at.
  void Judge(int64_t right, bool wrong) {
    for (int64_t i = 0; i < right; ++i) mean_ += kWeight * (1 - mean_);
    if (wrong) mean_ -= kWeight * mean_;
  }
  double mean() const { return mean_; }

  // How many guessed rows pay in a pass of so many sequences, `most` at most. cost: of making each
  // guess (Proposer::cost).
  int64_t Worth(int64_t sequences, int64_t most, double cost = 0,
                double row_cost = kRowCost) const {
    const auto b = static_cast<double>(sequences);
    const double least = row_cost * b / (1 + row_cost * (b - 1)) + cost;
    int64_t rows = 0;
    for (double chance = mean_; rows < most && chance > least; chance *= mean_) ++rows;
    return rows;
  }

 private:
  double mean_ = 0.5;
};

}  // namespace darkhorse
