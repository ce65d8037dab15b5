// Requests that take different adapters of one model, at the same time and one after the other.
#include <gtest/gtest.h>

#include <map>

#include "infer/engine_testing.h"
#include "model/adapter.h"

namespace darkhorse {
namespace {

class EngineAdapters : public testing::Test {
 protected:
  EngineAdapters() {
    for (size_t i = 0; i < 2; ++i) {
      AdapterOptions options;
      options.rank = 2 + static_cast<int64_t>(i);
      if (i == 1) options.targets = {"o_proj", "down_proj"};
      layouts_.push_back(AdapterLayout(m_.config, options));
      values_.emplace_back(static_cast<size_t>(layouts_[i].buffer_size()));
      for (size_t k = 0; k < values_[i].size(); ++k) {
        values_[i][k] = static_cast<float>(0.3 * RandomNormal(i, RandomStream::kTest, 0, k));
      }
    }
  }
  AdapterValues Values(int32_t adapter) {
    if (adapter == 0) return {};
    const auto i = static_cast<size_t>(adapter - 1);
    return {&layouts_[i], 2, values_[i].data()};
  }
  // What the model with this adapter alone answers.
  std::vector<Completion> Alone(GenerationRequest request) {
    const AdaptedWeights one(m_.config, base_, {Values(request.adapter)}, Format::kF32);
    request.adapter = 0;
    return Engine(m_.transformer, one.model(), {.slots = 1, .capacity = 400, .prefill_rows = 50})
        .Generate({request});
  }

  Model m_;
  ModelWeights base_ = m_.Bound();
  std::vector<ParamLayout> layouts_;
  std::vector<std::vector<float>> values_;
};

TEST_F(EngineAdapters, WhatNeighboursTakeDoesNotChangeABit) {
  const AdaptedWeights all(m_.config, base_, {Values(0), Values(1), Values(2)}, Format::kF32);
  std::vector<GenerationRequest> requests;
  std::vector<std::vector<Completion>> alone;
  for (const GenerationRequest& request : Requests(m_.config)) {
    for (const int32_t adapter : {1, 0, 2}) {
      requests.push_back(request);
      requests.back().adapter = adapter;
      alone.push_back(Alone(requests.back()));
    }
    const auto& others = alone[alone.size() - 2];
    for (const size_t behind : {1, 3})
      EXPECT_NE(alone[alone.size() - behind][0].logp, others[0].logp);
  }
  // In order, so that every step mixes them, and too few slots; what a slot held of another adapter
  // must serve none.
  for (const int64_t slots : {1, 4, 45}) {
    for (const bool remember : {false, true}) {
      Engine engine(m_.transformer, all.model(),
                    {.slots = slots, .capacity = 400, .prefill_rows = 50, .remember = remember});
      const std::vector<Completion> got = engine.Generate(requests);
      std::vector<Completion> want;
      for (const auto& completions : alone)
        want.insert(want.end(), completions.begin(), completions.end());
      ExpectSame(got, want);
    }
  }
}

TEST_F(EngineAdapters, WhatOneComputedServesNoOther) {
  const AdaptedWeights all(m_.config, base_, {Values(0), Values(1)}, Format::kF32);
  Engine engine(m_.transformer, all.model(),
                {.slots = 4, .capacity = 400, .prefill_rows = 50, .remember = true});
  GenerationRequest request = Requests(m_.config)[3];
  request.samples = 1;
  const auto cached = [&](int32_t adapter) {
    request.adapter = adapter;
    return engine.Generate({request}).front().cached;
  };
  const auto most = static_cast<int64_t>(request.prompt.size()) - 1;
  EXPECT_EQ(cached(1), 0);
  EXPECT_EQ(cached(0), 0);
  EXPECT_EQ(cached(1), most);
  EXPECT_EQ(cached(0), most);
  // Nor while it runs.
  std::map<RequestId, int64_t> told;
  const EngineSink sink = {.on_token = {},
                           .on_finished = [&](const Completion& c) { told[c.request] = c.cached; },
                           .on_step = {}};
  Engine fresh(m_.transformer, all.model(),
               {.slots = 4, .capacity = 400, .prefill_rows = 50, .remember = true});
  request.stop_tokens.clear();
  request.adapter = 1;
  fresh.Submit(request);
  for (int i = 0; i < 5; ++i) fresh.Step(sink);
  request.adapter = 0;
  request.max_tokens = 1;
  fresh.Submit(request);
  request.adapter = 1;
  fresh.Submit(request);
  while (fresh.Step(sink)) {
  }
  EXPECT_EQ(told, (std::map<RequestId, int64_t>{{0, 0}, {1, 0}, {2, most}}));
}

}  // namespace
}  // namespace darkhorse
