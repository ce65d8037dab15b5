#include "model/head.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/random.h"
#include "kernel/gemm.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

constexpr int64_t kVocabulary = 50, kHidden = 12;

std::vector<float> Random(uint64_t seed, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(RandomNormal(seed, RandomStream::kTest, i));
  return values;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// The head by its definition: all logits at once, then the log-softmax of the rows with a target.
// Its chunks, and rows without a target among them, change no bit: a row's logits are its own, and
// a chunk goes on with the chains of sums of the one before.
class HeadTest : public testing::Test {
 protected:
  HeadTest() {
    for (int64_t row = 0; row < rows_; ++row) {
      const bool none = row % 7 == 3 || (row > 100 && row < 130);
      target_.push_back(none ? -1 : static_cast<int32_t>(row * row % kVocabulary));
      if (!none) wanted_.push_back(static_cast<int32_t>(row));
    }
    for (const int32_t row : wanted_) wanted_target_.push_back(target_[static_cast<size_t>(row)]);
  }

  ConstMatrix hidden() const { return {hidden_.data(), rows_, kHidden}; }
  Weight head() { return {Matrix(weights_.data(), kVocabulary, kHidden)}; }
  // One float of each wanted row.
  std::vector<float> Wanted(const std::vector<float>& values) const {
    std::vector<float> out;
    for (const int32_t row : wanted_) out.push_back(values[static_cast<size_t>(row)]);
    return out;
  }
  // The wanted rows of the hidden states, and their logits.
  void Logits(std::vector<float>* gathered, std::vector<float>* logits) {
    const auto count = static_cast<int64_t>(wanted_.size());
    gathered->resize(static_cast<size_t>(count * kHidden));
    logits->resize(static_cast<size_t>(count * kVocabulary));
    GatherRows(hidden(), wanted_, {gathered->data(), count, kHidden});
    GemmNT({gathered->data(), count, kHidden}, head().w, {logits->data(), count, kVocabulary});
  }

  const int64_t rows_ = 2 * HeadChunkRows(kVocabulary) + 500;  // three chunks of wanted rows
  std::vector<float> hidden_ = Random(1, rows_* kHidden);
  std::vector<float> weights_ = Random(2, kVocabulary* kHidden);
  std::vector<int32_t> target_, wanted_, wanted_target_;
  Arena arena_;
};

TEST_F(HeadTest, ForwardIsLogSoftmaxOfEachRow) {
  ASSERT_GT(static_cast<int64_t>(wanted_.size()), 2 * HeadChunkRows(kVocabulary));
  std::vector<float> gathered, logits;
  Logits(&gathered, &logits);
  const auto count = static_cast<int64_t>(wanted_.size());
  std::vector<float> logp(wanted_.size()), entropy(wanted_.size());
  LogSoftmaxRows({logits.data(), count, kVocabulary}, wanted_target_.data(), logp.data(),
                 entropy.data());
  std::vector<float> got_logp(target_.size(), 9), got_entropy(target_.size(), 9);
  HeadForward(hidden(), head(), target_.data(), arena_, got_logp.data(), got_entropy.data());
  EXPECT_TRUE(SameBits(Wanted(got_logp), logp));
  EXPECT_TRUE(SameBits(Wanted(got_entropy), entropy));
  for (size_t row = 0; row < target_.size(); ++row) {
    if (target_[row] >= 0) continue;
    EXPECT_EQ(got_logp[row], 0) << row;
    EXPECT_EQ(got_entropy[row], 0) << row;
  }
  std::vector<float> without(target_.size(), 9);
  HeadForward(hidden(), head(), target_.data(), arena_, without.data(), nullptr);
  EXPECT_TRUE(SameBits(without, got_logp));
}

TEST_F(HeadTest, BackwardIsTheGradientOfLogpAndEntropy) {
  const std::vector<float> dlogp = Random(3, rows_), dentropy = Random(4, rows_);
  for (const bool with_entropy : {false, true}) {
    std::vector<float> gathered, logits;
    Logits(&gathered, &logits);
    const auto count = static_cast<int64_t>(wanted_.size());
    const Matrix dlogits(logits.data(), count, kVocabulary);
    std::vector<float> logp(wanted_.size());
    LogSoftmaxBackwardRows(dlogits, wanted_target_.data(), Wanted(dlogp).data(),
                           with_entropy ? Wanted(dentropy).data() : nullptr, logp.data());
    std::vector<float> dhidden(gathered.size()), dw = Random(5, kVocabulary * kHidden);
    std::vector<float> got_dw = dw;
    GemmNN(dlogits, head().w, {dhidden.data(), count, kHidden});
    GemmTN(dlogits, {gathered.data(), count, kHidden}, {dw.data(), kVocabulary, kHidden}, true);

    std::vector<float> got(hidden_.size(), 9), got_logp(target_.size(), 9);
    HeadBackward(hidden(), head(), target_.data(), dlogp.data(),
                 with_entropy ? dentropy.data() : nullptr, arena_, {got.data(), rows_, kHidden},
                 {{got_dw.data(), kVocabulary, kHidden}}, got_logp.data());
    EXPECT_TRUE(SameBits(got_dw, dw));
    EXPECT_TRUE(SameBits(Wanted(got_logp), logp));
    std::vector<float> got_rows(gathered.size());
    GatherRows({got.data(), rows_, kHidden}, wanted_, {got_rows.data(), count, kHidden});
    EXPECT_TRUE(SameBits(got_rows, dhidden));
    for (int64_t row = 0; row < rows_; ++row) {
      if (target_[static_cast<size_t>(row)] >= 0) continue;
      EXPECT_EQ(got_logp[static_cast<size_t>(row)], 0);
      for (int64_t i = 0; i < kHidden; ++i)
        EXPECT_EQ(got[static_cast<size_t>(row * kHidden + i)], 0) << row;
    }
  }
}

}  // namespace
}  // namespace darkhorse
