#include "data/prepare.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fields.h"
#include "base/parallel.h"
#include "base/random.h"
#include "data/shard.h"

namespace darkhorse {
namespace {

constexpr int64_t kBatchDocuments = 4096;
constexpr int64_t kBatchBytes = 4 << 20;
constexpr size_t kKeepBytes = 64 << 10;  // larger buffers are not kept for the next batch

int32_t FindToken(const Tokenizer& tokenizer, const std::string& token, const char* field) {
  if (token.empty()) return -1;
  const std::optional<int32_t> id = tokenizer.TokenId(token);
  if (!id) {
    std::vector<std::string> special;
    for (int32_t i = 0; i < tokenizer.vocab_size(); ++i) {
      if (tokenizer.IsSpecial(i)) special.emplace_back(tokenizer.TokenBytes(i));
    }
    constexpr size_t kShown = 8;
    if (special.size() > kShown) {
      special.resize(kShown);
      special.emplace_back("…");
    }
    Fail("{} = \"{}\": the tokenizer has no such token; {}", field, token,
         special.empty()
             ? "it has no special ones, so leave it empty"
             : fmt::format("name one of its special tokens ({}) or leave it empty",
                           Printable(fmt::format("{}", fmt::join(special, ", ")), 300)));
  }
  return *id;
}

// Whether the file is this tokenizer, perhaps spelt in another way; a damaged one is none.
bool HoldsTokenizer(const std::string& file, const Tokenizer& tokenizer) {
  if (!FileExists(file)) return false;
  try {
    return Tokenizer::Load(file).hash() == tokenizer.hash();
  } catch (const Error&) {
    return false;
  }
}

struct Document {
  std::string text;
  std::vector<int32_t> tokens;
  bool made = true;
  bool validation = false;
};

// Shards stand in a folder of their own: a checkpoint, other programs' files of our names, and a
// tokenizer that no earlier call put there are another's. A killed call leaves train.bin's
// temporary.
void RefuseForeignFolder(const std::string& folder, const Tokenizer& tokenizer) {
  if (FileExists(folder + "/config.json")) {
    Fail("{}: is a checkpoint, whose tokenizer.json would be replaced; choose another folder",
         folder);
  }
  bool prepared = HasLeftover(folder + "/" + kTrainShard);
  for (const char* name : {kTrainShard, kValidationShard}) {
    const std::string shard = folder + "/" + name;
    if (!FileExists(shard)) continue;
    if (!IsTokenShard(shard)) {
      Fail("{}: is no token shard and would be replaced; move it away or choose another folder",
           shard);
    }
    prepared = true;
  }
  const std::string file = folder + "/tokenizer.json";
  if (!prepared && FileExists(file) && !HoldsTokenizer(file, tokenizer)) {
    Fail("{}: is another tokenizer and would be replaced; move it away or choose another folder",
         file);
  }
}

// Fills the two shards of one folder.
class Preparer {
 public:
  Preparer(const Tokenizer& tokenizer, const PrepareOptions& options, const std::string& out,
           const PrepareProgressCallback& progress)
      : tokenizer_(tokenizer), options_(options), out_(out), progress_(progress) {
    if (!(options.validation_fraction >= 0 && options.validation_fraction < 1)) {
      FailUsage("validation_fraction is {}; it must be in [0, 1)", options.validation_fraction);
    }
    if (options.max_tokens < 0) {
      FailUsage("max_tokens is {}; it must be positive, or 0 for no limit", options.max_tokens);
    }
    info_.tokenizer_hash = tokenizer.hash();
    info_.vocab_size = tokenizer.vocab_size();
    info_.bos_id = FindToken(tokenizer, options.bos_token, "bos_token");
    info_.eos_id = FindToken(tokenizer, options.eos_token, "eos_token");
    RefuseForeignFolder(out, tokenizer);
    MakeDirectories(out);
    train_.emplace(PathOf(kTrainShard), info_);
    if (options.validation_fraction > 0) validation_.emplace(PathOf(kValidationShard), info_);
  }

  bool full() const {
    return options_.max_tokens > 0 && statistics_.train_tokens >= options_.max_tokens;
  }

  // Tokenises documents[0, count) and appends them in order, up to the first that `make(i)`, called
  // before, finds missing. Returns whether there was none such.
  template <typename Make>
  bool Add(std::vector<Document>& documents, int64_t count, const Make& make) {
    ParallelFor(count, [&](int64_t i) {
      documents[i].made = make(i);
      if (documents[i].made) Tokenise(&documents[i]);
    });
    int64_t i = 0;
    for (; i < count && documents[i].made && !full(); ++i) Append(documents[i]);
    const bool all_made = i == count || documents[i].made;
    for (Document& document : documents) {
      if (document.text.capacity() > kKeepBytes) document = {};
    }
    return all_made;
  }

  void Report(double fraction) {
    if (!progress_) return;
    if (options_.max_tokens > 0) {
      const double share =
          static_cast<double>(statistics_.train_tokens) / static_cast<double>(options_.max_tokens);
      fraction = std::min(1.0, std::max(fraction, share));
    }
    PrepareProgress report;
    report.documents = statistics_.documents;
    report.text_bytes = statistics_.text_bytes;
    report.tokens = statistics_.train_tokens + statistics_.validation_tokens;
    report.fraction = fraction;
    report.seconds = SteadySeconds() - start_;
    if (fraction > 0) report.eta_seconds = report.seconds * (1 - fraction) / fraction;
    if (report.seconds > 0) {
      report.tokens_per_second = static_cast<double>(report.tokens) / report.seconds;
    }
    progress_(report);
  }

  // `skipped`: FirstSkipped of the corpus.
  PrepareStatistics Finish(const std::string& skipped = "") {
    CheckSplits(skipped);
    std::optional<FileWriter> tokenizer;
    if (!HoldsTokenizer(PathOf("tokenizer.json"), tokenizer_)) {
      tokenizer.emplace(PathOf("tokenizer.json"));
      tokenizer->Write(tokenizer_.ToJson());
      tokenizer->Finish();
    }
    if (validation_) validation_->Finish();
    train_->Finish();
    // Files of two calls must not be taken for one: while they change there is no train.bin.
    std::filesystem::remove(PathOf(kTrainShard));
    if (tokenizer) tokenizer->Commit();
    if (validation_) {
      validation_->Commit();
    } else {
      // What an earlier call left there would not belong to this training split.
      std::filesystem::remove(PathOf(kValidationShard));
    }
    train_->Commit();
    return statistics_;
  }

 private:
  std::string PathOf(const char* name) const {
    return (std::filesystem::path(out_) / name).string();
  }

  void Tokenise(Document* document) const {
    document->tokens.clear();
    if (document->text.empty()) return;
    document->tokens =
        tokenizer_.EncodeDocument(info_.bos_id, document->text, options_.recognise_special);
    if (info_.eos_id >= 0) document->tokens.push_back(info_.eos_id);
    document->validation = validation_ && IsValidation(document->text, options_);
  }

  void Append(const Document& document) {
    if (document.tokens.empty()) return;
    const auto tokens = static_cast<int64_t>(document.tokens.size());
    const auto bytes = static_cast<int64_t>(document.text.size());
    (document.validation ? *validation_ : *train_).Append(document.tokens, bytes);
    ++statistics_.documents;
    statistics_.text_bytes += bytes;
    ++(document.validation ? statistics_.validation_documents : statistics_.train_documents);
    (document.validation ? statistics_.validation_tokens : statistics_.train_tokens) += tokens;
    statistics_.longest_document = std::max(statistics_.longest_document, tokens);
  }

  void CheckSplits(const std::string& skipped) const {
    if (statistics_.documents == 0) {
      Fail(
          "the corpus holds no document with text{}; check the paths, their format and the name of "
          "the text field",
          skipped);
    }
    const bool no_train = statistics_.train_documents == 0;
    if (no_train || (validation_ && statistics_.validation_documents == 0)) {
      Fail(
          "none of the documents ({}) fell to the {} split; {} validation_fraction = {}, or make "
          "more documents (split_text cuts a text)",
          statistics_.documents, no_train ? "training" : "validation",
          no_train ? "lower" : "raise (or set to 0)", options_.validation_fraction);
    }
  }

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  const std::string out_;
  const PrepareProgressCallback& progress_;
  ShardInfo info_;
  std::optional<ShardWriter> train_, validation_;
  PrepareStatistics statistics_;
  const double start_ = SteadySeconds();
};

}  // namespace

void ListFields(PrepareOptions& options, FieldList& list) {
  list.Add("validation_fraction", options.validation_fraction,
           "share of the documents held out, chosen by a hash of their text");
  list.Add("split_seed", options.split_seed, "another seed holds out other documents");
  list.Add("bos_token", options.bos_token, "token before each document; empty: none");
  list.Add("eos_token", options.eos_token, "token behind each document; empty: none");
  list.Add("recognise_special", options.recognise_special,
           "text that spells a special token becomes it; only for text that you made");
  list.Add("max_tokens", options.max_tokens,
           "stop once the training split has so many tokens; 0: no limit");
}

bool IsValidation(std::string_view text, const PrepareOptions& options) {
  return RandomUniform(options.split_seed, RandomStream::kData, Checksum64(text)) <
         options.validation_fraction;
}

PrepareStatistics PrepareFiles(const std::vector<std::string>& paths,
                               const CorpusOptions& corpus_options, const Tokenizer& tokenizer,
                               const PrepareOptions& options, const std::string& out,
                               const PrepareProgressCallback& progress) {
  CorpusReader reader(paths, corpus_options);
  Preparer preparer(tokenizer, options, out, progress);
  std::vector<Document> documents(kBatchDocuments);
  bool more = true;
  while (more && !preparer.full()) {
    int64_t count = 0, bytes = 0;
    while (count < kBatchDocuments && bytes < kBatchBytes &&
           (more = reader.Next(&documents[count].text))) {
      bytes += static_cast<int64_t>(documents[count++].text.size());
    }
    preparer.Add(documents, count, [](int64_t) { return true; });
    preparer.Report(reader.disk_bytes() == 0
                        ? 0
                        : std::min(1.0, static_cast<double>(reader.disk_bytes_read()) /
                                            static_cast<double>(reader.disk_bytes())));
  }
  PrepareStatistics statistics = preparer.Finish(FirstSkipped(reader.report()));
  statistics.corpus = reader.report();
  return statistics;
}

PrepareStatistics PrepareGenerated(const DocumentMaker& make, int64_t max_documents,
                                   const Tokenizer& tokenizer, const PrepareOptions& options,
                                   const std::string& out, const PrepareProgressCallback& progress,
                                   const StopRequest& stop) {
  if (max_documents < 0) FailUsage("max_documents is {}; it must not be negative", max_documents);
  Preparer preparer(tokenizer, options, out, progress);
  const int64_t limit = max_documents > 0 ? max_documents : INT64_MAX;
  std::vector<Document> documents(kBatchDocuments);
  bool more = true;
  for (int64_t first = 0; more && first < limit && !preparer.full(); first += kBatchDocuments) {
    LeaveIfAsked(stop);
    const int64_t count = std::min(kBatchDocuments, limit - first);
    more = preparer.Add(documents, count, [&](int64_t i) {
      documents[i].text.clear();
      return make(static_cast<uint64_t>(first + i), &documents[i].text);
    });
    preparer.Report(
        max_documents > 0 ? static_cast<double>(first + count) / static_cast<double>(limit) : 0);
  }
  return preparer.Finish();
}

}  // namespace darkhorse
