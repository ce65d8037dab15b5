#include "infer/cache_budget.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace darkhorse {
namespace {

int64_t Pages(int64_t tokens) { return (tokens + CacheBudget::kPage - 1) / CacheBudget::kPage; }

}  // namespace

CacheBudget::CacheBudget(int64_t slots, int64_t capacity, int64_t tokens)
    : limited_(tokens > 0),
      left_(limited_ ? std::max(tokens / kPage, Pages(capacity)) : slots * Pages(capacity)),
      held_(static_cast<size_t>(slots)) {
  CHECK(tokens == 0 || tokens >= capacity);
}

int64_t CacheBudget::Needs(int64_t slot, int64_t tokens) const {
  return std::max<int64_t>(Pages(tokens) - held_[static_cast<size_t>(slot)], 0);
}

void CacheBudget::Hold(int64_t slot, int64_t tokens) {
  const int64_t more = Needs(slot, tokens);
  CHECK(more <= left_);
  left_ -= more;
  held_[static_cast<size_t>(slot)] += more;
}

void CacheBudget::Release(int64_t slot) {
  left_ += std::exchange(held_[static_cast<size_t>(slot)], 0);
}

}  // namespace darkhorse
