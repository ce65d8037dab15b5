// Tests only: guesses that are what an engine without guesses says, but for some that are wrong.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "infer/engine.h"

namespace darkhorse {

class Oracle : public Proposer {
 public:
  // Which tokens of a completion are guessed wrongly.
  using Wrong = std::function<bool(size_t index)>;
  static bool Never(size_t) { return false; }
  static bool SomeTimes(size_t index) {
    return RandomBits(1, RandomStream::kTest, 77, index) % 6 == 0;
  }

  // `alone`: computes as the engine that is to be told, and guesses nothing.
  Oracle(std::unique_ptr<Engine> alone, Wrong wrong, int64_t vocabulary, int64_t room)
      : alone_(std::move(alone)),
        wrong_(std::move(wrong)),
        vocabulary_(static_cast<int32_t>(vocabulary)),
        room_(room) {}

  void Propose(std::span<Proposal> proposals) override {
    for (Proposal& proposal : proposals) {
      const std::vector<int32_t>& so_far = *proposal.completion;
      CHECK(!so_far.empty() && proposal.most >= 1 && proposal.most <= kMost);
      // There is room for all of the guess, and for a token behind.
      const auto end = static_cast<int64_t>(so_far.size()) + proposal.most + 1;
      CHECK(end <= proposal.request->max_tokens);
      CHECK(static_cast<int64_t>(proposal.request->prompt.size()) + end <= room_);
      const std::vector<int32_t>& said = Said(*proposal.request, proposal.sample);
      for (size_t i = so_far.size(); i < static_cast<size_t>(end) - 1; ++i) {
        const int32_t token = i < said.size() ? said[i] : 0;
        proposal.tokens.push_back(wrong_(i) ? (token + 1) % vocabulary_ : token);
      }
    }
  }

 private:
  using Key = std::tuple<uint64_t, uint64_t, std::vector<int32_t>, int64_t, int64_t>;
  const std::vector<int32_t>& Said(const GenerationRequest& request, int64_t sample) {
    const Key key(request.seed, request.stream, request.prompt, request.max_tokens, sample);
    auto found = said_.find(key);
    if (found == said_.end()) {
      GenerationRequest one = request;
      one.samples = 1;
      one.stream += static_cast<uint64_t>(sample);
      found = said_.emplace(key, alone_->Generate({one}).front().tokens).first;
    }
    return found->second;
  }

  std::unique_ptr<Engine> alone_;
  Wrong wrong_;
  int32_t vocabulary_;
  int64_t room_;
  std::map<Key, std::vector<int32_t>> said_;
};

// For an engine of the same model, weights, form, capacity and prefill_rows.
inline std::unique_ptr<Oracle> MakeOracle(const Transformer& model, const ModelWeights& weights,
                                          CacheForm form, int64_t capacity, int64_t prefill_rows,
                                          Oracle::Wrong wrong = Oracle::SomeTimes) {
  const ModelConfig& config = model.config();
  return std::make_unique<Oracle>(
      std::make_unique<Engine>(
          model, weights,
          EngineOptions{
              .form = form, .slots = 1, .capacity = capacity, .prefill_rows = prefill_rows}),
      std::move(wrong), config.vocab_size, std::min(capacity, config.max_position_embeddings));
}

}  // namespace darkhorse
