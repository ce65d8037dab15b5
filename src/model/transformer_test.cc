#include "model/transformer.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

TEST(RowPositions, CountFromTheSegmentsOwn) {
  TokenBatch batch;
  batch.tokens = {1, 2, 3, 4, 5};
  batch.segments = {{.row = 0, .rows = 3, .position = 2}, {.row = 3, .rows = 2}};
  Arena arena;
  const int32_t* position = RowPositions(batch, TinyConfig(), arena);
  EXPECT_EQ(std::vector<int32_t>(position, position + 5), (std::vector<int32_t>{2, 3, 4, 0, 1}));
}

TEST(RowPositions, RefuseWhatTheModelDoesNotKnow) {
  const ModelConfig config = TinyConfig();
  const auto message = [&](int32_t token, int64_t position) {
    TokenBatch batch;
    batch.tokens = {1, token};
    batch.segments = {{.row = 0, .rows = 2, .position = position}};
    Arena arena;
    return MessageOf([&] { RowPositions(batch, config, arena); });
  };
  const auto last = static_cast<int32_t>(config.vocab_size - 1);
  EXPECT_EQ(message(last, config.max_position_embeddings - 2), "");
  EXPECT_EQ(message(0, 0), "");
  EXPECT_TRUE(Says(message(last + 1, 0), "token id 13 is outside the model's vocabulary of 13"));
  EXPECT_TRUE(Says(message(-1, 0), "token id -1"));
  EXPECT_TRUE(Says(message(0, config.max_position_embeddings - 1),
                   "a sequence of 65 tokens exceeds max_position_embeddings = 64"));
}

}  // namespace
}  // namespace darkhorse
