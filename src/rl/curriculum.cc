#include "rl/curriculum.h"

#include "base/error.h"

namespace darkhorse {

std::vector<double> CurriculumWeights(const CurriculumOptions& options,
                                      std::span<const MixturePart> parts,
                                      const PartSuccess& success) {
  CHECK(success.size() == parts.size());
  std::vector<double> weights;
  for (size_t i = 0; i < parts.size(); ++i) {
    const double p = success[i];
    const double share =
        options.by_success ? options.floor + (1 - options.floor) * 4 * p * (1 - p) : 1.0;
    weights.push_back(parts[i].weight * share);
  }
  return weights;
}

void UpdateSuccess(const CurriculumOptions& options, std::span<const PartOutcome> outcomes,
                   PartSuccess& success) {
  CHECK(outcomes.size() == success.size());
  for (size_t i = 0; i < success.size(); ++i) {
    if (outcomes[i].samples == 0) continue;
    const double mean =
        static_cast<double>(outcomes[i].right) / static_cast<double>(outcomes[i].samples);
    success[i] += options.rate * (mean - success[i]);
  }
}

}  // namespace darkhorse
