// Byte-level BPE tokenizer: trains, encodes, decodes, reads and writes Hugging Face's
// tokenizer.json. docs/tokenizer.md has the pipeline, what of the file format is supported, and the
// few documented differences.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

class FieldList;
struct TokenizerData;

// A piece of a text of several origins.
struct TextSegment {
  std::string_view text;
  bool trusted = false;  // may hold added tokens

  bool operator==(const TextSegment&) const = default;
};

// Immutable and cheap to copy; every method may be called from many threads at once.
class Tokenizer {
 public:
  // path: a tokenizer.json, or a directory that holds one. Error: names the file, the field and the
  // cure.
  static Tokenizer Load(const std::string& path);
  static Tokenizer FromJson(std::string_view json, const std::string& name_for_errors);

  explicit Tokenizer(std::shared_ptr<const TokenizerData> data) : data_(std::move(data)) {}

  // A tokenizer.json that Hugging Face's `tokenizers` reads back. The same tokenizer gives the same
  // bytes.
  std::string ToJson() const;

  // Any bytes are accepted: what is not UTF-8 is encoded byte by byte. add_special_tokens applies
  // the post-processor (such as a leading beginning-of-sentence token).
  std::vector<int32_t> Encode(std::string_view text, bool add_special_tokens = false) const;

  // What add_special_tokens puts first before a text, where it puts anything.
  std::optional<int32_t> StartToken() const;

  // Appends to *ids. allow_special = false is for untrusted text: no added token, special or not,
  // is recognised in it, so nobody can forge a turn by typing its marker.
  void Encode(std::string_view text, std::vector<int32_t>* ids, bool allow_special = true) const;

  // Appends the tokens of the segments' joined text. An added token is recognised where it lies
  // within one trusted segment. All else is encoded as if it had no borders, so that text without
  // added tokens gives the same ids however it is cut.
  void Encode(std::span<const TextSegment> segments, std::vector<int32_t>* ids) const;

  // How a document begins: with `bos`, unless that is negative, then the tokens of its text.
  std::vector<int32_t> EncodeDocument(int32_t bos, std::string_view text, bool allow_special) const;

  // The bytes of the tokens. They need not be UTF-8, for a token may hold part of a character. An
  // id without a token adds nothing.
  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens = false) const;

  // The bytes one id decodes to; empty for an id without a token. Valid as long as any copy of this
  // tokenizer.
  std::string_view TokenBytes(int32_t id) const;

  int32_t vocab_size() const;  // largest id + 1

  // Of the ids 0 … embedded - 1 that a model embeds, those that stand for no text: nothing should
  // ever say them. Null: there are none.
  std::shared_ptr<const std::vector<int32_t>> SilentIds(int64_t embedded) const;

  // Error naming `model`, which embeds the ids 0 … embedded - 1, where it lacks some of these.
  void CheckEmbedded(int64_t embedded, const std::string& model, const std::string& cure) const;

  // The id of an added token, or of a vocabulary entry as tokenizer.json spells it ("Ġthe" for "
  // the").
  std::optional<int32_t> TokenId(std::string_view token) const;

  bool IsSpecial(int32_t id) const;

  // Checksum of ToJson(): equal for tokenizers that encode alike. Token shards carry it.
  uint64_t hash() const;

 private:
  std::shared_ptr<const TokenizerData> data_;
};

struct TokenizerTrainOptions {
  int32_t vocab_size = 4096;  // fewer if the text has no more pairs
  std::vector<std::string> special_tokens;
  std::string pattern;  // empty: kDefaultSplitPattern
  int64_t min_frequency = 2;
  int64_t max_token_length = 128;  // bytes
};
void ListFields(TokenizerTrainOptions& options, FieldList& list);

// Words with an optional leading separator, single digits, runs of punctuation, white space.
extern const char kDefaultSplitPattern[];

// Puts the next document in *text and returns true, or returns false at the end.
using NextDocument = std::function<bool(std::string* text)>;

// phase: "count" (done: bytes read, total: 0) or "merge" (done: merges, total: merges wanted).
// Called from one thread.
using TrainProgress = std::function<void(const char* phase, int64_t done, int64_t total)>;

// Byte-pair encoding (Sennrich et al. 2016) over bytes. The result depends on which documents there
// are and how often, not on their order or the number of threads. Equally frequent pairs are merged
// in order of their ids. A special token in a document separates words and is not counted itself.
// UsageError: impossible options.
Tokenizer TrainTokenizer(const NextDocument& next, const TokenizerTrainOptions& options,
                         const TrainProgress& progress = {});
Tokenizer TrainTokenizer(const std::vector<std::string>& documents,
                         const TokenizerTrainOptions& options, const TrainProgress& progress = {});

}  // namespace darkhorse
