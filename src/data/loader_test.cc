#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/compressed_testing.h"

namespace darkhorse {
namespace {

// Every token of the shard has its own id, so a token says where it comes from.
class LoaderTest : public testing::Test {
 protected:
  static constexpr int kDocuments = 200;

  LoaderTest() {
    ShardWriter writer(folder_ / "x.bin", {1, 1 << 20});
    int32_t next = 0;
    for (int d = 0; d < kDocuments; ++d) {
      // Mostly shorter than a sequence of 16, some several times as long.
      std::vector<int32_t> document(1 + d * 7 % 13 + (d % 10 == 0 ? 50 : 0));
      std::iota(document.begin(), document.end(), next);
      next += static_cast<int32_t>(document.size());
      document_of_.resize(next, d);
      writer.Append(document, 1);
    }
    writer.Commit();
    shard_.emplace(TokenShard::Open(folder_ / "x.bin"));
  }

  Loader Make(LoaderOptions options) const { return Loader(*shard_, "x.bin", options); }
  bool LastOfDocument(int32_t token) const {
    return token + 1 == shard_->tokens() || document_of_[token] != document_of_[token + 1];
  }

  ScratchDirectory folder_;
  std::optional<TokenShard> shard_;
  std::vector<int> document_of_;  // of a token
};

bool Same(const TrainBatch& a, const TrainBatch& b) {
  const auto same_segment = [](const BatchSegment& x, const BatchSegment& y) {
    return x.row == y.row && x.rows == y.rows;
  };
  return a.tokens == b.tokens && a.targets == b.targets && a.weights == b.weights &&
         std::equal(a.segments.begin(), a.segments.end(), b.segments.begin(), b.segments.end(),
                    same_segment);
}

TEST_F(LoaderTest, AnEpochIsAsManySequencesAsHoldItsTokens) {
  const int64_t tokens = shard_->tokens();
  const auto sequences = [&](int64_t length) {
    return Make({.sequence_length = length}).sequences_per_epoch();
  };
  EXPECT_EQ(sequences(1), tokens);
  EXPECT_EQ(sequences(tokens - 1), 2);
  EXPECT_EQ(sequences(tokens), 1);
  EXPECT_EQ(sequences(tokens + 1), 1);
}

TEST_F(LoaderTest, EachEpochHoldsEveryTokenOnce) {
  const int64_t length = 16;
  const Loader loader = Make({.seed = 3, .sequence_length = length});
  const TrainBatch batch = loader.Sequences(0, 3 * loader.sequences_per_epoch() + 1);
  const int64_t tokens = shard_->tokens();
  ASSERT_GE(batch.rows(), 3 * tokens);
  std::vector<int32_t> first_order;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<int32_t> seen(batch.tokens.begin() + epoch * tokens,
                              batch.tokens.begin() + (epoch + 1) * tokens);
    if (epoch == 0) first_order = seen;
    EXPECT_EQ(seen == first_order, epoch == 0) << "epochs must differ in order";
    std::sort(seen.begin(), seen.end());
    for (int64_t i = 0; i < tokens; ++i) ASSERT_EQ(seen[i], i);
  }
}

// Three documents of one token each: their six orders are equally likely.
TEST(LoaderOrder, EveryOrderIsEquallyLikely) {
  ScratchDirectory folder;
  ShardWriter writer(folder / "x.bin", {1, 3});
  for (const int32_t token : {0, 1, 2}) writer.Append(std::vector<int32_t>{token}, 1);
  writer.Commit();
  const TokenShard shard = TokenShard::Open(folder / "x.bin");
  const Loader loader(shard, "x.bin", {.seed = 5, .sequence_length = 3});
  std::map<std::vector<int32_t>, int> times;
  for (int64_t epoch = 0; epoch < 600; ++epoch) ++times[loader.Sequences(epoch, 1).tokens];
  EXPECT_EQ(times.size(), 6u);
  // Binomial: 100 with a deviation of sqrt(600 * 1/6 * 5/6) = 9.1; five of them either way.
  for (const auto& [order, count] : times) EXPECT_NEAR(count, 100, 46);
}

TEST_F(LoaderTest, DocumentsAreWholeAndInOrderInTheStream) {
  const Loader loader = Make({.seed = 3, .sequence_length = 16});
  const TrainBatch batch = loader.Sequences(0, loader.sequences_per_epoch());
  for (int64_t row = 0; row + 1 < shard_->tokens(); ++row) {
    if (!LastOfDocument(batch.tokens[row])) {
      ASSERT_EQ(batch.tokens[row + 1], batch.tokens[row] + 1);
    }
  }
}

TEST_F(LoaderTest, SegmentsCoverTheRowsAndNeverCrossDocumentsOrSequences) {
  for (const int64_t length : {1, 7, 16, 1000}) {
    const Loader loader = Make({.seed = 5, .sequence_length = length});
    const TrainBatch batch = loader.Sequences(2, 40);
    ASSERT_EQ(batch.rows(), 40 * length);
    int64_t row = 0;
    for (const BatchSegment& segment : batch.segments) {
      ASSERT_EQ(segment.row, row);
      ASSERT_GT(segment.rows, 0);
      const int64_t last = segment.row + segment.rows - 1;
      ASSERT_EQ(segment.row / length, last / length);
      ASSERT_EQ(batch.tokens[last] - batch.tokens[row], segment.rows - 1);
      ASSERT_EQ(document_of_[batch.tokens[row]], document_of_[batch.tokens[last]]);
      // It ends only where the document or the sequence does.
      ASSERT_TRUE(LastOfDocument(batch.tokens[last]) || (last + 1) % length == 0);
      row += segment.rows;
    }
    ASSERT_EQ(row, batch.rows());
  }
}

TEST_F(LoaderTest, TargetIsTheNextTokenOfTheDocument) {
  const Loader loader = Make({.seed = 5, .sequence_length = 16});
  const TrainBatch batch = loader.Sequences(0, 60);
  ASSERT_EQ(batch.targets.size(), batch.tokens.size());
  ASSERT_EQ(batch.weights.size(), batch.tokens.size());
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const bool last = LastOfDocument(batch.tokens[row]);
    ASSERT_EQ(batch.weights[row], last ? 0.0f : 1.0f);
    ASSERT_EQ(batch.targets[row], last ? 0 : batch.tokens[row] + 1);
  }
}

TEST_F(LoaderTest, BatchIsAPureFunctionOfSeedAndStep) {
  const LoaderOptions options{.seed = 9, .sequence_length = 16};
  const Loader loader = Make(options);
  std::vector<TrainBatch> forward;
  for (int step = 0; step < 60; ++step) forward.push_back(loader.Sequences(5 * step, 5));
  for (const int step : {59, 0, 31, 30, 31, 2, 58, 1}) {
    EXPECT_TRUE(Same(loader.Sequences(5 * step, 5), forward[step])) << step;
    EXPECT_TRUE(Same(Make(options).Sequences(5 * step, 5), forward[step])) << step;
  }
  EXPECT_FALSE(Same(Make({.seed = 10, .sequence_length = 16}).Sequences(0, 5), forward[0]));
}

TEST_F(LoaderTest, BatchesOfAnySizeCutTheSameStream) {
  const Loader loader = Make({.seed = 9, .sequence_length = 16});
  const TrainBatch whole = loader.Sequences(0, 120);
  TrainBatch joined;
  for (int64_t first = 0, count = 1; first < 120; first += count, count = count % 7 + 1) {
    count = std::min(count, 120 - first);
    const TrainBatch part = loader.Sequences(first, count);
    for (BatchSegment segment : part.segments) {
      segment.row += joined.rows();
      joined.segments.push_back(segment);
    }
    joined.tokens.insert(joined.tokens.end(), part.tokens.begin(), part.tokens.end());
    joined.targets.insert(joined.targets.end(), part.targets.begin(), part.targets.end());
    joined.weights.insert(joined.weights.end(), part.weights.begin(), part.weights.end());
  }
  EXPECT_TRUE(Same(joined, whole));
}

TEST_F(LoaderTest, AcrossDocumentsEverySequenceIsOneSegmentAndEveryRowHasATarget) {
  const Loader inside = Make({.seed = 9, .sequence_length = 16});
  const Loader across = Make({.seed = 9, .sequence_length = 16, .cross_documents = true});
  const int64_t sequences = 2 * across.sequences_per_epoch();
  const TrainBatch stream = inside.Sequences(0, sequences + 1);
  for (int64_t s = 0; s < sequences; ++s) {
    const TrainBatch batch = across.Sequences(s, 1);
    ASSERT_EQ(batch.segments.size(), 1u);
    ASSERT_EQ(batch.segments[0].row, 0);
    ASSERT_EQ(batch.segments[0].rows, 16);
    for (int64_t row = 0; row < 16; ++row) {
      ASSERT_EQ(batch.tokens[row], stream.tokens[16 * s + row]);
      ASSERT_EQ(batch.targets[row], stream.tokens[16 * s + row + 1]);
      ASSERT_EQ(batch.weights[row], 1.0f);
    }
  }
}

TEST_F(LoaderTest, WithoutRepeatTheStreamEndsAfterOneEpochInTheShardsOrder) {
  for (const bool cross : {false, true}) {
    const Loader loader =
        Make({.sequence_length = 16, .cross_documents = cross, .shuffle = false, .repeat = false});
    const int64_t sequences = loader.sequences_per_epoch();
    ASSERT_NE(shard_->tokens() % 16, 0);
    const TrainBatch batch = loader.Sequences(0, sequences + 5);
    ASSERT_EQ(batch.rows(), shard_->tokens());
    for (int64_t row = 0; row < batch.rows(); ++row) ASSERT_EQ(batch.tokens[row], row);
    EXPECT_EQ(batch.weights.back(), 0.0f);
    EXPECT_EQ(loader.Sequences(sequences, 3).rows(), 0);
  }
}

TEST_F(LoaderTest, OrderOfDocumentsIsUniform) {
  // The document at the first place of an epoch, over many epochs: a uniform draw from 200. 2000
  // draws hit all but 200 exp(-10) = 0.009 documents; ten missing would be far beyond chance.
  const Loader loader = Make({.seed = 1, .sequence_length = 1});
  std::set<int> seen;
  for (int64_t epoch = 0; epoch < 2000; ++epoch) {
    seen.insert(document_of_[loader.Sequences(epoch * shard_->tokens(), 1).tokens[0]]);
  }
  EXPECT_GT(seen.size(), 190u);
}

TEST_F(LoaderTest, ImpossibleUseIsNamed) {
  EXPECT_THROW(Make({.sequence_length = 0}), UsageError);
  ShardWriter writer(folder_ / "empty.bin", {1, 300});
  writer.Commit();
  const TokenShard empty = TokenShard::Open(folder_ / "empty.bin");
  EXPECT_CONTAINS(MessageOf([&] { Loader(empty, "empty.bin", {}); }), "holds no tokens");
}

}  // namespace
}  // namespace darkhorse
