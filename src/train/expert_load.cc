#include "train/expert_load.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "model/loss.h"
#include "model/router.h"

namespace darkhorse {

void AddLoad(const ExpertLoad& load, ExpertLoad& sum) {
  if (sum.empty()) sum.resize(load.size());
  CHECK(sum.size() == load.size());
  for (size_t layer = 0; layer < load.size(); ++layer) {
    if (sum[layer].empty()) sum[layer].resize(load[layer].size());
    CHECK(sum[layer].size() == load[layer].size());
    for (size_t e = 0; e < load[layer].size(); ++e) sum[layer][e] += load[layer][e];
  }
}

double MaxViolation(const ExpertLoad& load) {
  double worst = 0;
  for (const auto& counts : load) {
    const double mean =
        static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0})) /
        static_cast<double>(counts.size());
    worst = std::max(
        worst, static_cast<double>(*std::max_element(counts.begin(), counts.end())) / mean - 1);
  }
  return worst;
}

void UpdateRouterBiases(const ExpertLoad& load, double gamma, const ModelWeights& weights) {
  const std::vector<float*> biases = RouterBiases(weights);
  for (size_t layer = 0; layer < load.size(); ++layer) {
    if (biases[layer]) UpdateRouterBias(load[layer], static_cast<float>(gamma), biases[layer]);
  }
}

}  // namespace darkhorse
