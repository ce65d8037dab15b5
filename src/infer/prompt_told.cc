#include "infer/prompt_told.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// Rows whose logits are in memory at once.
constexpr int64_t kHeadRows = 32;

[[noreturn]] void FailNotFinite() {
  Fail("the model's logits are not finite; take an earlier checkpoint or a sound copy");
}

// hidden[i] is followed by next[i].
void ReadLogp(ConstMatrix hidden, std::span<const int32_t> next, int64_t top_logp,
              const Weight& lm_head, Arena& arena, PromptTold* told) {
  const ArenaScope scope(arena);
  const int64_t rows = hidden.rows;
  const Matrix logits = arena.NewMatrix(rows, lm_head.out());
  LinearForward(hidden, lm_head, logits);
  std::vector<float> logp(next.size());
  LogSoftmaxRows(logits, next.data(), logp.data(), nullptr);
  if (!std::ranges::all_of(logp, [](float x) { return std::isfinite(x); })) FailNotFinite();
  told->logp.insert(told->logp.end(), logp.begin(), logp.end());
  if (top_logp <= 0) return;
  const size_t first = told->top.size();
  told->top.resize(first + next.size());
  ParallelFor(rows, [&](int64_t i) {
    const auto row = static_cast<size_t>(i);
    told->top[first + row] = MostProbable({logits.Row(i), static_cast<size_t>(logits.cols)},
                                          top_logp, {next[row], logp[row]});
  });
}

}  // namespace

std::vector<TokenLogp> MostProbable(std::span<const float> logits, int64_t most, TokenLogp known) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<size_t>(order.size(), static_cast<size_t>(most));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float la = logits[static_cast<size_t>(a)];
                      const float lb = logits[static_cast<size_t>(b)];
                      return la != lb ? la > lb : a < b;
                    });
  // Of all tokens the logarithm of the sum is the same.
  const float normalizer = logits[static_cast<size_t>(known.token)] - known.logp;
  std::vector<TokenLogp> top;
  for (size_t i = 0; i < count; ++i) {
    const int32_t token = order[i];
    top.push_back({token, token == known.token ? known.logp
                                               : logits[static_cast<size_t>(token)] - normalizer});
  }
  return top;
}

void PromptTold::Append(PromptTold next) {
  logp.insert(logp.end(), next.logp.begin(), next.logp.end());
  std::ranges::move(next.top, std::back_inserter(top));
  if (!next.hidden_sum.empty()) hidden_sum = std::move(next.hidden_sum);
}

void ReadPrompt(std::span<const int32_t> prompt, int64_t position, ConstMatrix hidden,
                PromptWish wish, int64_t top_logp, const Weight& lm_head, Arena& arena,
                PromptTold* told) {
  if (wish.logp) {
    // Nothing of the prompt follows its last token.
    const int64_t followed =
        std::min(hidden.rows, static_cast<int64_t>(prompt.size()) - 1 - position);
    for (int64_t begin = 0; begin < followed; begin += kHeadRows) {
      const int64_t rows = std::min(kHeadRows, followed - begin);
      ReadLogp(hidden.Rows(begin, rows),
               prompt.subspan(static_cast<size_t>(position + begin + 1), static_cast<size_t>(rows)),
               top_logp, lm_head, arena, told);
    }
  }
  if (!wish.hidden) return;
  told->hidden_sum.resize(static_cast<size_t>(hidden.cols));
  for (int64_t row = 0; row < hidden.rows; ++row) {
    for (int64_t i = 0; i < hidden.cols; ++i)
      told->hidden_sum[static_cast<size_t>(i)] += hidden(row, i);
  }
  if (!std::ranges::all_of(told->hidden_sum, [](double x) { return std::isfinite(x); }))
    FailNotFinite();
}

}  // namespace darkhorse
