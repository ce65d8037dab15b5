// Level mixing by success: problems that are always or never solved teach nothing, so the parts of
// a mixture are drawn by how far their success is from either.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/environment.h"
#include "rl/options.h"

namespace darkhorse {

// How often each part's problems are solved, as measured in training. It begins at 1/2, where a
// part's weight is the recipe's own.
using PartSuccess = std::vector<double>;

// Weight of each part: the recipe's own w times floor + (1 - floor) 4 p (1 - p) for success p. The
// variance of a reward that is 0 or 1, p (1 - p), is the expected square of its advantage: what a
// problem can teach. The floor keeps every part measured.
std::vector<double> CurriculumWeights(const CurriculumOptions& options,
                                      std::span<const MixturePart> parts,
                                      const PartSuccess& success);

// One step's outcome for a part.
struct PartOutcome {
  int64_t samples = 0;
  int64_t right = 0;
};

// p += rate (mean of the step - p), for the parts that were drawn.
void UpdateSuccess(const CurriculumOptions& options, std::span<const PartOutcome> outcomes,
                   PartSuccess& success);

}  // namespace darkhorse
