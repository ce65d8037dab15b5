// The trainer: counts words, then merges the most frequent pair again and again (Sennrich et al.
// 2016, algorithm 1).
#include <algorithm>
#include <nlohmann/json.hpp>
#include <queue>

#include "base/error.h"
#include "base/fields.h"
#include "base/parallel.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"
#include "text/tokenizer_data.h"

namespace darkhorse {

const char kDefaultSplitPattern[] =
    R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr size_t kBatchBytes = 16 << 20;  // read before counting them on all threads
constexpr size_t kChunkBytes =
    256 << 10;  // a longer document is cut, so that one file still keeps all threads busy

using WordCounts = StringTable<int64_t>;

// Cuts behind a newline that an ASCII letter follows, where patterns end a word anyway: the cuts
// depend on the document only, and with the default pattern they change no word.
std::vector<std::string_view> Chunks(std::string_view text) {
  std::vector<std::string_view> chunks;
  while (text.size() > kChunkBytes) {
    size_t end = kChunkBytes;
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    while (end < text.size() && !(text[end - 1] == '\n' && letter(text[end]))) ++end;
    chunks.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  if (!text.empty()) chunks.push_back(text);
  return chunks;
}

class WordCounter {
 public:
  explicit WordCounter(const TokenizerTrainOptions& options) {
    const std::string& pattern = options.pattern.empty() ? kDefaultSplitPattern : options.pattern;
    splitter_.AddSplit(Regex(pattern, "tokenizer training: pattern"), SplitBehavior::kIsolated,
                       false);
    for (const std::string& content : options.special_tokens) specials_.Add(AddedToken{}, content);
  }

  // Sums of whole numbers: the same whatever thread counts what.
  WordCounts Count(const NextDocument& next, const TrainProgress& progress) {
    std::vector<WordCounts> per_thread(NumThreads());
    int64_t bytes = 0;
    for (bool more = true; more;) {
      std::vector<std::string> batch;
      size_t batch_bytes = 0;
      while (batch_bytes < kBatchBytes) {
        std::string text;
        more = next(&text);
        if (!more) break;
        batch_bytes += text.size();
        batch.push_back(std::move(text));
      }
      std::vector<std::string_view> chunks;
      for (const std::string& text : batch) {
        for (const std::string_view chunk : Chunks(text)) chunks.push_back(chunk);
      }
      ParallelFor(static_cast<int64_t>(chunks.size()),
                  [&](int64_t i) { CountText(chunks[i], &per_thread[ThreadIndex()]); });
      bytes += static_cast<int64_t>(batch_bytes);
      if (progress) progress("count", bytes, 0);
    }
    WordCounts total = std::move(per_thread[0]);
    for (size_t i = 1; i < per_thread.size(); ++i) {
      for (const auto& [word, count] : per_thread[i]) total[word] += count;
    }
    return total;
  }

 private:
  void CountText(std::string_view text, WordCounts* counts) const {
    const auto count_word = [&](std::string_view word) {
      const auto found = counts->find(word);
      if (found != counts->end()) {
        ++found->second;
      } else {
        counts->emplace(word, 1);
      }
    };
    while (!text.empty()) {
      const size_t valid = ValidUtf8Prefix(text);
      specials_.Split(
          text.substr(0, valid),
          [&](std::string_view piece) { splitter_.Split(piece, count_word); }, [](int32_t) {});
      text.remove_prefix(
          std::min(valid + 1, text.size()));  // a broken byte is always a token of its own
    }
  }

  PreTokenizer splitter_;
  AddedTokenMatcher specials_;
};

struct Pair {
  int32_t left;
  int32_t right;
  bool operator==(const Pair&) const = default;
  auto operator<=>(const Pair&) const = default;
};

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(pair.left)) << 32 |
                         static_cast<uint32_t>(pair.right);
    const uint64_t hash = key * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
  }
};

// Keeps every pair's count while pairs are merged, touching only the words that hold the merged
// pair.
class PairMerger {
 public:
  struct Candidate {
    int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {  // for a heap with the best on top
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  PairMerger(const WordCounts& counts, const std::vector<int32_t>& byte_ids) {
    std::vector<std::pair<std::string_view, int64_t>> words(counts.begin(), counts.end());
    std::sort(words.begin(), words.end());
    for (const auto& [word, count] : words) {
      if (word.size() < 2) continue;
      const auto index = static_cast<int32_t>(words_.size());
      words_.push_back({symbols_.size(), static_cast<int64_t>(word.size()), count});
      for (const char byte : word) symbols_.push_back(byte_ids[static_cast<uint8_t>(byte)]);
      const int32_t* symbols = symbols_.data() + words_.back().begin;
      for (size_t i = 0; i + 1 < word.size(); ++i)
        Change({symbols[i], symbols[i + 1]}, count, index);
    }
    changed_.clear();
    for (const auto& [pair, info] : pairs_) heap_.push({info.count, pair});
  }

  // The most frequent pair, the least of equals; false if none is left.
  bool Best(Candidate* best) {
    while (!heap_.empty()) {
      *best = heap_.top();
      heap_.pop();
      const int64_t count = pairs_[best->pair].count;
      if (count == best->count && count > 0) return true;
      if (count > 0) heap_.push({count, best->pair});  // it shrank since it was pushed
    }
    return false;
  }

  void Merge(Pair pair, int32_t result) {
    std::vector<int32_t> holders = std::move(pairs_[pair].words);
    std::sort(holders.begin(), holders.end());
    holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
    for (const int32_t index : holders) MergeInWord(index, pair, result);
    pairs_[pair] = {};
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (const Pair& grown : changed_) heap_.push({pairs_[grown].count, grown});
    changed_.clear();
  }

  void Forbid(Pair pair) { pairs_[pair].count = INT64_MIN / 2; }

 private:
  struct Word {
    size_t begin;  // in symbols_
    int64_t size;
    int64_t count;
  };
  struct PairInfo {
    int64_t count = 0;
    std::vector<int32_t> words;  // that hold the pair, or did
  };

  void Change(Pair pair, int64_t by, int32_t word) {
    PairInfo& info = pairs_[pair];
    info.count += by;
    if (by <= 0) return;
    if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
    changed_.push_back(pair);
  }

  void MergeInWord(int32_t index, Pair pair, int32_t result) {
    Word& word = words_[index];
    int32_t* symbols = symbols_.data() + word.begin;
    int64_t out = 0;
    for (int64_t i = 0; i < word.size; ++i) {
      if (i + 1 == word.size || symbols[i] != pair.left || symbols[i + 1] != pair.right) {
        symbols[out++] = symbols[i];
        continue;
      }
      if (out > 0) {
        Change({symbols[out - 1], pair.left}, -word.count, index);
        Change({symbols[out - 1], result}, word.count, index);
      }
      if (i + 2 < word.size) {
        Change({pair.right, symbols[i + 2]}, -word.count, index);
        Change({result, symbols[i + 2]}, word.count, index);
      }
      symbols[out++] = result;
      ++i;
    }
    word.size = out;
  }

  std::vector<int32_t> symbols_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairInfo, PairHash> pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<Pair> changed_;  // pairs that grew in the present merge
};

void CheckOptions(const TokenizerTrainOptions& options) {
  std::vector<std::string> seen;
  for (const std::string& content : options.special_tokens) {
    if (content.empty() || !IsValidUtf8(content)) {
      FailUsage("special_tokens: \"{}\" must be UTF-8 text and not empty", content);
    }
    const auto bytes = UnspellBytes(content);
    if (bytes && bytes->size() == 1) {
      FailUsage("special_tokens: \"{}\" is the spelling of a byte: use a longer name", content);
    }
    if (std::find(seen.begin(), seen.end(), content) != seen.end()) {
      FailUsage("special_tokens: \"{}\" is listed twice", content);
    }
    seen.push_back(content);
  }
  const size_t least = 256 + options.special_tokens.size();
  if (options.vocab_size < 0 || static_cast<size_t>(options.vocab_size) < least) {
    FailUsage("vocab_size = {} is too small: 256 bytes and {} special tokens need {}",
              options.vocab_size, options.special_tokens.size(), least);
  }
  try {
    Regex(options.pattern, "pattern");
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  if (options.min_frequency < 1) {
    FailUsage("min_frequency = {} must be at least 1", options.min_frequency);
  }
  if (options.max_token_length < 1) {
    FailUsage("max_token_length = {} must be at least 1", options.max_token_length);
  }
}

nlohmann::json TokenizerJson(const TokenizerTrainOptions& options,
                             const std::vector<std::string>& contents,
                             const std::vector<Merge>& merges) {
  using nlohmann::json;
  const std::string& pattern = options.pattern.empty() ? kDefaultSplitPattern : options.pattern;
  json root;
  json& added = root["added_tokens"] = json::array();
  for (size_t id = 0; id < options.special_tokens.size(); ++id) {
    added.push_back(
        {{"id", id}, {"content", contents[id]}, {"normalized", false}, {"special", true}});
  }
  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", false}};
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  root["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", json::array({split, byte_level})}};
  root["decoder"] = byte_level;
  json& model = root["model"];
  model = {{"type", "BPE"},
           {"dropout", nullptr},
           {"unk_token", nullptr},
           {"byte_fallback", false},
           {"fuse_unk", false},
           {"ignore_merges", false},
           {"continuing_subword_prefix", nullptr},
           {"end_of_word_suffix", nullptr}};
  json& vocab = model["vocab"] = json::object();
  for (size_t id = 0; id < contents.size(); ++id) vocab[contents[id]] = id;
  json& pairs = model["merges"] = json::array();
  for (const Merge& merge : merges) pairs.push_back({contents[merge.left], contents[merge.right]});
  return root;
}

}  // namespace

void ListFields(TokenizerTrainOptions& o, FieldList& list) {
  list.Add("vocab_size", o.vocab_size, "special tokens, 256 bytes and merges together");
  list.Add("special_tokens", o.special_tokens, "tokens that text is never split into; ids from 0");
  list.Add("pattern", o.pattern,
           "regular expression that splits text into words; empty: the built-in one");
  list.Add("min_frequency", o.min_frequency, "a pair seen less often is not merged");
  list.Add("max_token_length", o.max_token_length,
           "longest token, bytes; a merge that gave a longer one is not made");
}

Tokenizer TrainTokenizer(const NextDocument& next, const TokenizerTrainOptions& options,
                         const TrainProgress& progress) {
  CheckOptions(options);
  std::vector<std::string> contents = options.special_tokens;
  // The bytes come in the order of the characters that spell them, as in published tokenizers.
  std::vector<std::pair<char32_t, int>> alphabet;
  for (int byte = 0; byte < 256; ++byte) alphabet.emplace_back(ByteAlphabet()[byte], byte);
  std::sort(alphabet.begin(), alphabet.end());
  std::vector<int32_t> byte_ids(256);
  for (const auto& [character, byte] : alphabet) {
    byte_ids[byte] = static_cast<int32_t>(contents.size());
    AppendUtf8(character, &contents.emplace_back());
  }
  StringTable<int32_t> ids;
  for (size_t id = 0; id < contents.size(); ++id)
    ids.emplace(contents[id], static_cast<int32_t>(id));

  const auto specials = static_cast<int32_t>(options.special_tokens.size());
  const auto wanted = static_cast<size_t>(options.vocab_size);
  const auto first = static_cast<int64_t>(contents.size());
  std::vector<int64_t> lengths(contents.size(), 1);  // in bytes; special tokens are not merged
  PairMerger merger(WordCounter(options).Count(next, progress), byte_ids);
  std::vector<Merge> merges;
  PairMerger::Candidate best;
  while (contents.size() < wanted && merger.Best(&best) && best.count >= options.min_frequency) {
    const auto [left, right] = best.pair;
    if (lengths[left] + lengths[right] > options.max_token_length) {
      merger.Forbid(best.pair);
      continue;
    }
    const auto [at, fresh] =
        ids.emplace(contents[left] + contents[right], static_cast<int32_t>(contents.size()));
    const int32_t result = at->second;  // two ways to spell the same token share its id
    if (result < specials) {
      merger.Forbid(best.pair);
      continue;
    }
    if (fresh) {
      contents.push_back(at->first);
      lengths.push_back(lengths[left] + lengths[right]);
    }
    merges.push_back({left, right, result});
    merger.Merge(best.pair, result);
    const auto done = static_cast<int64_t>(contents.size()) - first;
    if (progress && done % 256 == 0) progress("merge", done, options.vocab_size - first);
  }
  if (progress) {
    progress("merge", static_cast<int64_t>(contents.size()) - first, options.vocab_size - first);
  }
  return Tokenizer::FromJson(TokenizerJson(options, contents, merges).dump(), "trained tokenizer");
}

Tokenizer TrainTokenizer(const std::vector<std::string>& documents,
                         const TokenizerTrainOptions& options, const TrainProgress& progress) {
  size_t index = 0;
  const NextDocument next = [&](std::string* text) {
    if (index == documents.size()) return false;
    *text = documents[index++];
    return true;
  };
  return TrainTokenizer(next, options, progress);
}

}  // namespace darkhorse
