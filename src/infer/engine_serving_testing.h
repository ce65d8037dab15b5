// Tests only: requests that come and go in an engine, and who hears of them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "infer/engine_testing.h"
#include "infer/oracle_testing.h"

namespace darkhorse {

using Key = std::pair<RequestId, int64_t>;

// Remembers what an engine tells, and checks that it tells each token once and in order.
class Listener {
 public:
  EngineSink Sink() {
    return {.on_token = [this](const Completion& so_far) { return Token(so_far); },
            .on_finished = [this](Completion c) { Finished(std::move(c)); },
            .on_step = {}};
  }
  // Of one request, in order of samples.
  std::vector<Completion> Of(RequestId id) const {
    std::vector<Completion> completions;
    for (const auto& [key, completion] : finished_) {
      if (key.first == id) completions.push_back(completion);
    }
    return completions;
  }
  int64_t heard(RequestId id) const {
    const auto found = heard_.find(id);
    return found == heard_.end() ? 0 : found->second;
  }
  const std::vector<Key>& order() const { return order_; }

 private:
  bool Token(const Completion& so_far) {
    const Key key(so_far.request, so_far.sample);
    EXPECT_EQ(++told_[key], static_cast<int64_t>(so_far.tokens.size()));
    EXPECT_EQ(finished_.count(key), 0u);
    ++heard_[so_far.request];
    return true;
  }
  void Finished(Completion completion) {
    const Key key(completion.request, completion.sample);
    EXPECT_EQ(told_[key], static_cast<int64_t>(completion.tokens.size()));
    EXPECT_EQ(finished_.count(key), 0u);
    order_.push_back(key);
    finished_[key] = std::move(completion);
  }

  std::map<Key, int64_t> told_;
  std::map<RequestId, int64_t> heard_;
  std::map<Key, Completion> finished_;
  std::vector<Key> order_;
};

// Steps until nothing remains; no test here needs as many as ten thousand.
inline void RunOut(Engine& engine, const EngineSink& sink) {
  for (int steps = 0; engine.Step(sink); ++steps) ASSERT_LT(steps, 10000);
}

struct Served {
  CacheForm form;
  bool guesses;
};

class Serving : public testing::TestWithParam<Served> {
 protected:
  Engine NewEngine(int64_t slots, int64_t prefill_rows = 50, bool remember = false,
                   int64_t cache_tokens = 0) {
    const auto [form, guesses] = GetParam();
    return Engine(
        m_.transformer, weights_,
        {.form = form,
         .slots = slots,
         .capacity = 400,
         .prefill_rows = prefill_rows,
         .remember = remember,
         .cache_tokens = cache_tokens},
        guesses ? MakeOracle(m_.transformer, weights_, form, 400, prefill_rows) : nullptr);
  }
  std::vector<Completion> Alone(const GenerationRequest& request, int64_t prefill_rows = 50) {
    return Engine(
               m_.transformer, weights_,
               {.form = GetParam().form, .slots = 1, .capacity = 400, .prefill_rows = prefill_rows})
        .Generate({request});
  }
  Model m_;
  ModelWeights weights_ = m_.Bound();
  std::vector<GenerationRequest> requests_ = Requests(m_.config);
};
inline std::string NameOf(const testing::TestParamInfo<Served>& of) {
  return std::string(of.param.form == CacheForm::kExpanded ? "Expanded" : "Latent") +
         (of.param.guesses ? "Guessing" : "");
}

// Every engine that Serving is tested with.
inline const auto kEveryEngine =
    testing::Values(Served{CacheForm::kExpanded, false}, Served{CacheForm::kLatent, false},
                    Served{CacheForm::kExpanded, true}, Served{CacheForm::kLatent, true});

}  // namespace darkhorse
