#include "pipeline/world.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "text/tags.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

constexpr char kBos[] = "<|begin|>";
constexpr char kEos[] = "<|end|>";
constexpr int64_t kTokenizerDocuments = 20000;  // plenty for a closed vocabulary

// The default pattern with numbers cut into groups of up to `digits` digits.
std::string SplitPattern(int64_t digits) {
  std::string pattern = kDefaultSplitPattern;
  const std::string number = "|\\p{N}|";
  const size_t at = pattern.find(number);
  CHECK(at != std::string::npos);
  return pattern.replace(at, number.size(), fmt::format("|\\p{{N}}{{1,{}}}|", digits));
}

}  // namespace

void MakeTokenizer(const CorpusMix& mix, const GeneratedCorpus& corpus, int64_t vocab_size,
                   int64_t digits_per_token, const std::string& path) {
  int64_t index = 0;
  TokenizerTrainOptions options;
  options.vocab_size = static_cast<int32_t>(vocab_size);
  options.pattern = SplitPattern(digits_per_token);
  options.special_tokens = {kBos, kEos};
  for (const std::string_view tag : {kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose})
    options.special_tokens.emplace_back(tag);
  const Tokenizer tokenizer = TrainTokenizer(
      [&](std::string* text) {
        if (index == std::min(kTokenizerDocuments, corpus.documents)) return false;
        *text = CorpusDocument(mix, corpus.seed, static_cast<uint64_t>(index++));
        return true;
      },
      options);
  WriteFileAtomically(path, tokenizer.ToJson());
}

void MakeCorpus(const CorpusMix& mix, const GeneratedCorpus& corpus, const std::string& tokenizer,
                const std::string& data, const PrepareProgressCallback& progress,
                const StopRequest& stop) {
  PrepareOptions options;
  options.bos_token = kBos;
  options.eos_token = kEos;
  options.recognise_special = true;  // the corpus' own tags
  const auto make = [&](uint64_t index, std::string* document) {
    *document = CorpusDocument(mix, corpus.seed, index);
    return true;
  };
  PrepareGenerated(make, corpus.documents, Tokenizer::Load(tokenizer), options, data, progress,
                   stop);
}

}  // namespace darkhorse
