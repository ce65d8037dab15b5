#include "model/part_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "model/config_testing.h"
#include "model/loss.h"
#include "model/params.h"

namespace darkhorse {
namespace {

void Sleep(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

// A sleep takes at least its time, so what a part is charged has a lower bound; all parts together
// are charged no more than went by, which bounds them from above.
TEST(PartClock, ChargesTheInnermostPart) {
  PartClock clock;
  const double begin = SteadySeconds();
  {
    const PartTimer outer(&clock, Part::kExperts);
    Sleep(3);
    {
      const PartTimer inner(&clock, Part::kRouter);
      Sleep(20);
    }
    Sleep(4);
  }
  Sleep(15);  // nobody's
  {
    const PartTimer again(&clock, Part::kExperts);
    Sleep(5);
  }
  const double gone = SteadySeconds() - begin;
  EXPECT_GE(clock.seconds(Part::kExperts), 0.012);
  EXPECT_GE(clock.seconds(Part::kRouter), 0.020);
  EXPECT_LE(clock.seconds(Part::kExperts) + clock.seconds(Part::kRouter), gone - 0.015);
  EXPECT_EQ(clock.seconds(Part::kHead), 0);
}

TEST(PartClock, NullIsNoClock) { const PartTimer timer(nullptr, Part::kHead); }

using Parts = std::set<Part>;

// The parts that a pass was charged to.
Parts ChargedParts(const PartClock& clock) {
  Parts parts;
  for (int i = 0; i < static_cast<int>(Part::kCount); ++i) {
    const auto part = static_cast<Part>(i);
    if (clock.seconds(part) > 0) parts.insert(part);
  }
  return parts;
}

// A pass forward, a pass backward and a whole training step of a model.
void ExpectParts(const ModelConfig& config, const Parts& forward, const Parts& of_loss) {
  const ParamLayout layout(config);
  std::vector<float> weights(static_cast<size_t>(layout.buffer_size())), grads(weights.size());
  InitializeWeights(config, layout, 1, weights.data());
  const ModelWeights model = Bind(config, layout, weights.data());
  const ModelGradients gradients = BindGradients(config, layout, grads.data());
  const Transformer transformer(config);
  TokenBatch batch;
  batch.tokens.assign(20, 1);
  batch.segments = {{.row = 0, .rows = 20}};
  Arena arena;
  TransformerSaved saved;
  PartClock clock;
  const Matrix hidden = transformer.Forward(model, batch, nullptr, arena, &saved, &clock);
  EXPECT_EQ(ChargedParts(clock), forward);
  PartClock back;
  transformer.Backward(model, batch, saved, hidden, 0, arena, gradients, &back);
  EXPECT_EQ(ChargedParts(back), forward);
  const std::vector<float> weight(20, 1.0f);
  PartClock whole;
  LossForwardBackward(transformer, model, {batch, batch.tokens, weight}, 0.5f, 0, arena, gradients,
                      nullptr, &whole);
  EXPECT_EQ(ChargedParts(whole), of_loss);
}

TEST(PartClock, EachPartOfAPassIsChargedToItsOwn) {
  using enum Part;
  ModelConfig config = TinyConfig();
  config.first_k_dense_replace = 2;
  ExpectParts(config, {kAttention, kDenseFeedForward, kRest},
              {kAttention, kDenseFeedForward, kHead, kRest});
  config.first_k_dense_replace = 0;
  ExpectParts(config, {kAttention, kExperts, kRouter, kRest},
              {kAttention, kExperts, kRouter, kHead, kRest});
  // A module's own attention, experts and router are the module's: with a dense main model nothing
  // is charged to experts.
  config.first_k_dense_replace = 2;
  config.num_nextn_predict_layers = 1;
  ExpectParts(config, {kAttention, kDenseFeedForward, kRest},
              {kAttention, kDenseFeedForward, kMtpModules, kHead, kRest});
}

}  // namespace
}  // namespace darkhorse
