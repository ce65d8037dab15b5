// Tiny random models and batches on which the fast model, the reference and its derivatives are
// compared. Between them the cases vary every field of the configuration.
#pragma once

#include <string>
#include <vector>

#include "model/batch.h"
#include "model/config_testing.h"
#include "model/params.h"
#include "model/reference_testing.h"

namespace darkhorse {

struct ReferenceCase {
  std::string name;
  ModelConfig config;
  TokenBatch batch;
  std::vector<int32_t> target;  // [T]
  std::vector<float> weight;    // [T]
  std::vector<float> weights;   // a buffer of ParamLayout(config)
  double mtp_lambda = 0;
  double balance_alpha = 0;

  ReferenceInput input() const { return {batch, target, weight, mtp_lambda, balance_alpha}; }
};

// Weights far from the training initialisation, so that every tensor matters: matrices of unit gain
// (standard deviation fan_in^-1/2), norm gains around 1, router biases around 0.
std::vector<float> RandomWeights(const ModelConfig& config, uint64_t seed);

// Documents of the given lengths packed one after another, random tokens, the next token of the
// document as target (none at its end), weights of varied size, some of them 0 or negative.
void FillBatch(const std::vector<int64_t>& lengths, uint64_t seed, ReferenceCase& c);

// One case for each kind of configuration.
std::vector<ReferenceCase> ReferenceCases();
// Those of them without multi-token prediction, with three documents that begin alike: their first
// tokens once, as a segment of its own that the others have as their prefix. No balance loss.
std::vector<ReferenceCase> SharedPrefixCases();
// The same documents, each with rows for all of its tokens; row_of[i]: where row i then lies, for
// the prefix's its first copy.
ReferenceCase Unshared(const ReferenceCase& c, std::vector<int64_t>* row_of);
// A random configuration, batch and weights; every field is drawn.
ReferenceCase RandomCase(uint64_t seed);

}  // namespace darkhorse
