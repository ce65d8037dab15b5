// A generated world: what a base model learns from, and its tokens.
#pragma once

#include <string>

#include "base/interrupt.h"
#include "data/prepare.h"
#include "pipeline/corpus_recipe.h"

namespace darkhorse {

// Trains a tokenizer on the corpus' first documents and writes it.
void MakeTokenizer(const CorpusMix& mix, const GeneratedCorpus& corpus, int64_t vocab_size,
                   int64_t digits_per_token, const std::string& path);

// Writes the corpus as shards into the folder `data`. Interruption.
void MakeCorpus(const CorpusMix& mix, const GeneratedCorpus& corpus, const std::string& tokenizer,
                const std::string& data, const PrepareProgressCallback& progress,
                const StopRequest& stop);

}  // namespace darkhorse
