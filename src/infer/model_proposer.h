// Guesses of a model: of a smaller one with the same vocabulary (Leviathan et al. 2023), or of the
// model's own module for multi-token prediction (DeepSeek-V3 section 2.2). A guess is drawn as the
// request draws, at the random number that its place will be drawn with: where the two models agree
// on the probabilities they agree on the token, at any temperature.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/arena.h"
#include "infer/proposer.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace darkhorse {

class ModelProposer : public Proposer {
 public:
  void Propose(std::span<Proposal> proposals) final;

 protected:
  explicit ModelProposer(int64_t vocabulary) : vocabulary_(vocabulary) {}

  // Hidden states [n, hidden], in the arena, that the first token of each guess follows from; those
  // it has none for get most = 0 and a row of anything.
  virtual Matrix Begin(std::span<Proposal> proposals) = 0;
  // Those behind the last token of each guess so far. `hidden`: what Begin or GoOn gave for them.
  virtual Matrix GoOn(std::span<Proposal*> proposals, ConstMatrix hidden) = 0;
  virtual const Weight& head() const = 0;

  Arena arena_;

 private:
  int64_t vocabulary_;  // of the model that is to be guessed
};

// A model of its own, with a cache for as many sequences.
class DraftProposer : public ModelProposer {
 public:
  // model: the one that is to be guessed, whose ids mean the same in the draft. slots, capacity:
  // the engine's.
  DraftProposer(const Transformer& draft, const ModelWeights& weights, const Transformer& model,
                CacheForm form, int64_t slots, int64_t capacity);

  double cost() const override { return cost_; }

 private:
  Matrix Begin(std::span<Proposal> proposals) override;
  Matrix GoOn(std::span<Proposal*> proposals, ConstMatrix hidden) override;
  const Weight& head() const override { return weights_.lm_head; }
  bool Knows(std::span<const int32_t> text, int64_t most) const;

  const Transformer& draft_;
  const ModelWeights& weights_;
  double cost_;
  KvCache cache_;
  std::vector<std::vector<int32_t>> held_;  // by slot: the tokens in the cache
};

// The first of the model's own modules, which guesses the second token behind a row from the row's
// state and the first; and those that follow from its own states.
class MtpProposer : public ModelProposer {
 public:
  // `weights` have modules. form, slots, capacity: the engine's.
  MtpProposer(const Transformer& model, const ModelWeights& weights, CacheForm form, int64_t slots,
              int64_t capacity);

  double cost() const override;
  void Begun(int64_t slot, int64_t from, int64_t tokens) override;
  void Computed(int64_t slot, int64_t position, ConstMatrix hidden,
                std::span<const int32_t> next) override;

  // What the cache of the modules takes beside the engine's, bytes.
  static double Bytes(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity,
                      Format format);

 private:
  // What of a slot the module has not read yet: states of the model and the tokens behind them.
  struct Slot {
    int64_t computed = 0;  // positions that it has
    std::vector<float> hidden;
    std::vector<int32_t> next;
    std::vector<float> last = {};  // the module's own state behind the last of them
  };
  struct Rows {
    int64_t slot, position;
    ConstMatrix hidden;
    std::span<const int32_t> next;
  };
  Matrix Begin(std::span<Proposal> proposals) override;
  Matrix GoOn(std::span<Proposal*> proposals, ConstMatrix hidden) override;
  const Weight& head() const override { return weights_.lm_head; }
  Matrix Forward(std::span<const Rows> rows);
  void CatchUp(std::span<const int64_t> slots);

  const Transformer& model_;
  const ModelWeights& weights_;
  ModelConfig config_;  // of the module alone: it is the cache's layer 0
  KvCache cache_;
  std::vector<Slot> slots_;
};

}  // namespace darkhorse
