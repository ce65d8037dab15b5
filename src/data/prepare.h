// From documents to token shards: a folder with train.bin, val.bin and the tokenizer.json they were
// made with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/interrupt.h"
#include "data/corpus.h"
#include "text/tags.h"
#include "text/tokenizer.h"

namespace darkhorse {

class FieldList;

inline constexpr char kTrainShard[] = "train.bin";
inline constexpr char kValidationShard[] = "val.bin";

struct PrepareOptions {
  double validation_fraction = 0.01;
  uint64_t split_seed = 0;
  std::string bos_token;
  std::string eos_token = std::string(kEndOfDocument);
  bool recognise_special = false;
  int64_t max_tokens = 0;
};
void ListFields(PrepareOptions& options, FieldList& list);

struct PrepareStatistics {
  int64_t documents = 0;  // of both splits
  int64_t text_bytes = 0;
  int64_t train_documents = 0, train_tokens = 0;
  int64_t validation_documents = 0, validation_tokens = 0;
  int64_t longest_document = 0;  // tokens
  CorpusReport corpus;           // of files only
};

struct PrepareProgress {
  int64_t documents = 0;
  int64_t text_bytes = 0;
  int64_t tokens = 0;
  double fraction = 0;      // of the work, in [0, 1]; 0 if unknown
  double seconds = 0;       // since the start
  double eta_seconds = -1;  // -1: unknown
  double tokens_per_second = 0;
};
using PrepareProgressCallback = std::function<void(const PrepareProgress&)>;

// Document `index` of a generated corpus; false: there are no more. A pure function of the index,
// called from many threads at once.
using DocumentMaker = std::function<bool(uint64_t index, std::string* document)>;

// Both functions write the same bytes for every number of threads. Documents are tokenised in
// parallel; a few megabytes of text are in memory, and the longest document. A document is written
// as [bos] text [eos]. A hash of its text decides whether it goes to the validation split: equal
// documents never lie on both sides, and adding documents moves no other. `out` does not change
// before the work is done; train.bin appears last. `progress` is called from the calling thread
// after each batch.
// Error: what reading the corpus can throw; a bos or eos that the tokenizer does not have; a split
// that is left empty; a full disk. UsageError: impossible options.
PrepareStatistics PrepareFiles(const std::vector<std::string>& paths,
                               const CorpusOptions& corpus_options, const Tokenizer& tokenizer,
                               const PrepareOptions& options, const std::string& out,
                               const PrepareProgressCallback& progress = {});

// max_documents = 0 means: until `make` returns false. `stop` is asked before each batch;
// Interruption, and `out` is as it was.
PrepareStatistics PrepareGenerated(const DocumentMaker& make, int64_t max_documents,
                                   const Tokenizer& tokenizer, const PrepareOptions& options,
                                   const std::string& out,
                                   const PrepareProgressCallback& progress = {},
                                   const StopRequest& stop = {});

// Whether a document of this text belongs to the validation split.
bool IsValidation(std::string_view text, const PrepareOptions& options);

}  // namespace darkhorse
