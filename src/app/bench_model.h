// How fast a model runs as its files have it: how long it loads, how fast it reads a prompt, how
// fast it continues.
#pragma once

#include <string>
#include <vector>

#include "app/output.h"
#include "app/speculate_flag.h"
#include "model/kv_cache.h"
#include "pipeline/run_format.h"

namespace darkhorse {

struct ModelBench {
  RunFormat weights;
  CacheForm form = CacheForm::kExpanded;
  std::vector<int64_t> batches = {1};
  int64_t prompt_tokens = 512, new_tokens = 64;  // of each sequence
  int64_t rounds = 3;
  // A text that is continued greedily by one sequence, without guesses and with them; "": none is.
  std::string text;
  SpeculateFlag speculate;
};

// Loads the model at `path` and, for each number of sequences, lets them continue one random
// prompt, which is computed once and shared: medians of `rounds`; one before them touches the
// memory. Of the text only its continuation counts. Prefill ends where the first token has been
// sampled, decoding is steps in which every sequence gets a token. Error: a model that cannot be
// loaded; UsageError: more tokens than its context has.
Json BenchModel(const std::string& path, const ModelBench& options);

}  // namespace darkhorse
