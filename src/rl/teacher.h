// The teacher of on-policy distillation: a model that stays as it is and says how probable each
// token was that the policy said.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "checkpoint/model_source.h"
#include "model/transformer.h"
#include "model/weight_store.h"
#include "rl/policy_step.h"
#include "text/tokenizer.h"

namespace darkhorse {

// Error naming the first token that differs, unless all that `student` knows, of the model `name`,
// are the same for `teacher`: its probabilities are of tokens.
void RequireSameVocabulary(const Tokenizer& teacher, const std::string& teacher_name,
                           const Tokenizer& student, const std::string& name);

class Teacher {
 public:
  // What a teacher, the model at `path`, takes of memory. Error: what opening it throws.
  static int64_t Bytes(const std::string& path);

  // The model at `path`, its weights in the formats of its files, an adapter's in them. Error:
  // what opening it throws; another vocabulary than the student's.
  Teacher(const std::string& path, const Tokenizer& student, const std::string& student_name);

  // Log-probabilities of each sample's completion tokens, in order. Error: a sample that its
  // context does not hold.
  std::vector<std::vector<float>> Logps(std::span<const PolicySample> samples,
                                        const Packing& packing);

  const ModelCost& cost() const { return model_.cost(); }
  int64_t bytes() const;

 private:
  const std::string path_;
  const std::unique_ptr<const ModelSource> source_;  // the embedding stays in it
  const Transformer model_;
  const WeightStore weights_;
  Arena arena_;
};

}  // namespace darkhorse
