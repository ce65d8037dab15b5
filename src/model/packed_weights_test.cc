#include "model/packed_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <type_traits>
#include <vector>

#include "base/random.h"
#include "kernel/linear.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

// Between them they have every kind of matrix.
std::vector<ModelConfig> Configs() {
  std::vector<ModelConfig> configs(3, TinyConfig());
  for (ModelConfig& config : configs) config.num_nextn_predict_layers = 1;
  configs[0].q_lora_rank = 0;
  configs[1].tie_word_embeddings = true;
  configs[2].n_shared_experts = 0;
  configs[2].topk_method = "greedy";
  return configs;
}

// Every matrix that a linear layer multiplies by has a packed form of its own, which is that matrix
// packed, for gradients too where they are wanted and the format has one; the embedding, which no
// layer multiplies by, has none. The router's is f32. Again after the weights change.
TEST(PackedWeights, HoldsEveryMatrixThatALayerMultipliesBy) {
  for (const ModelConfig& config : Configs()) {
    for (const Format format : {Format::kF32, Format::kBf16, Format::kQ8, Format::kQ4}) {
      for (const auto use : {PackedWeights::Use::kForward, PackedWeights::Use::kTraining}) {
        const bool integers = format == Format::kQ8 || format == Format::kQ4;
        if (integers && use == PackedWeights::Use::kTraining) continue;  // not trained in
        const ParamLayout layout(config);
        std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
        for (size_t i = 0; i < weights.size(); ++i)
          weights[i] = static_cast<float>(RandomNormal(1, RandomStream::kTest, i));
        PackedWeights packed(config, layout, weights.data(), format, use);
        EXPECT_EQ(packed.bytes(), PackedWeights::Bytes(config, format, use));
        std::set<const void*> places;
        const auto expect = [&](const void* form, int64_t bytes, auto* pack, const Weight& weight,
                                const std::string& name) {
          ASSERT_NE(form, nullptr) << name;
          EXPECT_TRUE(places.insert(form).second) << name;
          std::vector<char> expected(static_cast<size_t>(bytes));
          pack(weight, expected.data());
          EXPECT_EQ(std::memcmp(form, expected.data(), expected.size()), 0) << name;
        };
        const auto expect_packed = [&](const Weight& weight, const std::string& name, bool router) {
          EXPECT_EQ(weight.format, router ? Format::kF32 : format) << name;
          expect(weight.forward, ForwardBytes(weight.format, weight.out(), weight.in()),
                 PackForward, weight, name);
          if (use == PackedWeights::Use::kForward || weight.format == Format::kF32) {
            EXPECT_EQ(weight.backward, nullptr) << name;
          } else {
            expect(weight.backward, BackwardBytes(weight.format, weight.out(), weight.in()),
                   PackBackward, weight, name);
          }
        };
        const auto check = [&] {
          ModelWeights model = packed.model();
          places.clear();
          ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
            if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
              if (spec.kind == ParamKind::kEmbedding) {
                EXPECT_EQ(tensor.forward, nullptr);
              } else {
                expect_packed(tensor, spec.name, spec.kind == ParamKind::kRouter);
              }
            }
          });
          if (config.tie_word_embeddings) expect_packed(packed.model().lm_head, "the head", false);
        };
        check();
        for (float& weight : weights) weight = 2 * weight + 1;
        packed.Repack();
        check();
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
