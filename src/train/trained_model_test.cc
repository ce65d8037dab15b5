#include "train/trained_model.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>

#include "base/format.h"
#include "base/scratch_testing.h"
#include "kernel/linear.h"
#include "model/config_testing.h"
#include "model/cost.h"

namespace darkhorse {
namespace {

// All of it is counted at once, the table of rotations too. The fields that are named are those of
// what takes most.
TEST(RequireTrainingMemory, IsMetExactlyAndNamesWhatHelps) {
  Format moments = Format::kF32;
  int64_t copies = 0, teacher = 0;
  const auto expect = [&](const ModelConfig& config, int64_t tokens, const std::string& cure) {
    const ModelCost cost(config);
    const int64_t all =
        cost.Training(tokens, Format::kF32, Activations::kKept, moments).total() +
        4 * std::min(config.max_position_embeddings, (tokens + 1023) / 1024 * 1024) *
            config.qk_rope_head_dim +
        copies * cost.WeightBytes() + teacher;
    const std::string beside = teacher > 0 ? fmt::format(", beside a teacher of {}",
                                                         FormatBytes(static_cast<double>(teacher)))
                                           : "";
    const auto message = [&](int64_t memory) {
      setenv("DARKHORSE_MEMORY", std::to_string(memory).c_str(), 1);
      const std::string text = MessageOf([&] {
        RequireTrainingMemory(config, {.micro_batch_tokens = tokens,
                                       .moments = moments,
                                       .copies = copies,
                                       .beside = static_cast<double>(teacher)});
      });
      unsetenv("DARKHORSE_MEMORY");
      return text;
    };
    EXPECT_EQ(message(all), "");
    EXPECT_EQ(
        message(all - 1),
        fmt::format("training a model of {} parameters, in micro-batches of {} tokens{}, needs "
                    "{} of memory, this machine has {}; {}",
                    FormatCount(static_cast<double>(cost.parameters())), tokens, beside,
                    FormatBytes(static_cast<double>(all)),
                    FormatBytes(static_cast<double>(all - 1)), cure));
  };
  ModelConfig config = TinyConfig();
  expect(config, 1,
         "set optimizer.moments to bf16, or lower vocab_size, hidden_size, num_hidden_layers, "
         "n_routed_experts or moe_intermediate_size");
  expect(config, 10000, "lower micro_batch_tokens");
  ModelConfig dense = config;
  dense.n_routed_experts = 0;
  dense.first_k_dense_replace = dense.num_hidden_layers + dense.num_nextn_predict_layers;
  expect(dense, 1,
         "set optimizer.moments to bf16, or lower vocab_size, hidden_size, num_hidden_layers or "
         "intermediate_size");
  moments = Format::kBf16;
  EXPECT_EQ(ModelCost(dense).Training(1, Format::kF32, Activations::kKept, moments).moments,
            ModelCost(dense).WeightBytes());
  expect(dense, 1, "lower vocab_size, hidden_size, num_hidden_layers or intermediate_size");
  copies = 1;
  teacher = 1000;
  expect(dense, 10000, "lower micro_batch_tokens");
  teacher = 1 << 30;
  expect(dense, 1, "choose a smaller teacher");
  copies = teacher = 0;
  config.max_position_embeddings = 1 << 24;  // positions count where they are used
  expect(config, 10000, "lower micro_batch_tokens");
}

// What products read follows the weights, whoever changed them.
TEST(TrainedModel, PacksItsWeightsAnewOnceTheyHaveChanged) {
  TrainedModel trained(TinyConfig(), {}, Format::kBf16);
  const auto expect_packed = [&] {
    const Weight& head = trained.bound_weights().lm_head;
    std::vector<char> expected(
        static_cast<size_t>(ForwardBytes(Format::kBf16, head.out(), head.in())));
    PackForward(head, expected.data());
    return std::memcmp(head.forward, expected.data(), expected.size()) == 0;
  };
  EXPECT_TRUE(expect_packed());
  trained.Initialize(1);
  EXPECT_TRUE(expect_packed());
  std::fill_n(trained.mutable_weights(), trained.layout().buffer_size(), 3.0f);
  EXPECT_TRUE(expect_packed());
  trained.bound_grads().lm_head.w.data[0] = 1;
  trained.Update(1);
  EXPECT_TRUE(expect_packed());
  EXPECT_NE(trained.bound_weights().lm_head.w(0, 0), 3.0f);
}

}  // namespace
}  // namespace darkhorse
