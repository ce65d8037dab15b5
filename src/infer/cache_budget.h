// How much of a cache its slots may hold together. A slot's memory comes in pages as it is written,
// and goes when the slot is released: the system's own page tables are the block table, so that
// attention reads a sequence in one piece (Prabhu et al. 2024, "vAttention").
#pragma once

#include <cstdint>
#include <vector>

namespace darkhorse {

class CacheBudget {
 public:
  static constexpr int64_t kPage = 128;  // tokens

  // tokens: of all slots together, at least one sequence of the capacity; 0: no limit.
  CacheBudget(int64_t slots, int64_t capacity, int64_t tokens);

  bool limited() const { return limited_; }
  // Pages to come, if a slot is to hold its first `tokens` tokens.
  int64_t Needs(int64_t slot, int64_t tokens) const;
  int64_t left() const { return left_; }
  // The slot holds so many, or more already. CHECKs that they are left.
  void Hold(int64_t slot, int64_t tokens);
  void Release(int64_t slot);

 private:
  bool limited_;
  int64_t left_;               // pages
  std::vector<int64_t> held_;  // by slot
};

}  // namespace darkhorse
