#include "text/tokenizer.h"

#include <cstring>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "text/tokenizer_data.h"

namespace darkhorse {

namespace {

// The tokens of short words met lately, one table a thread, direct-mapped: a word replaces whatever
// was in its place. Natural text repeats its words, so most of them skip the merging; nothing is
// allocated per word and the size is fixed.
class WordCache {
 public:
  static WordCache& ForThread(uint64_t serial) {
    thread_local WordCache cache;
    if (cache.serial_ != serial) cache.Clear(serial);
    return cache;
  }

  template <typename Encode>
  void Append(std::string_view word, std::vector<int32_t>* ids, const Encode& encode) {
    if (word.size() > sizeof(Entry::word)) return encode(word, ids);
    Entry& entry = entries_[Hash(word) & (kEntries - 1)];
    if (entry.size == word.size() && std::memcmp(entry.word, word.data(), word.size()) == 0) {
      ids->insert(ids->end(), entry.ids, entry.ids + entry.count);
      return;
    }
    const size_t before = ids->size();
    encode(word, ids);
    const size_t count = ids->size() - before;
    if (count > std::size(entry.ids)) return;
    entry.size = static_cast<uint8_t>(word.size());
    entry.count = static_cast<uint8_t>(count);
    std::memcpy(entry.word, word.data(), word.size());
    std::copy(ids->begin() + before, ids->end(), entry.ids);
  }

 private:
  static constexpr size_t kEntries = 1 << 14;
  struct Entry {  // a cache line
    uint8_t size = 0;
    uint8_t count = 0;
    char word[30];
    int32_t ids[8];
  };

  void Clear(uint64_t serial) {
    entries_.assign(kEntries, Entry{});
    serial_ = serial;
  }

  static uint64_t Hash(std::string_view word) {
    uint64_t hash = word.size();
    for (size_t i = 0; i < word.size(); i += 8) {
      uint64_t eight = 0;
      std::memcpy(&eight, word.data() + i, word.size() - i < 8 ? word.size() - i : 8);
      hash = (hash ^ eight) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 32;
    }
    return hash;
  }

  std::vector<Entry> entries_;
  uint64_t serial_ = 0;
};

class Encoder {
 public:
  Encoder(const TokenizerData& data, std::vector<int32_t>* ids)
      : data_(data), ids_(ids), cache_(WordCache::ForThread(data.serial)) {}

  void AppendSegments(std::span<const TextSegment> segments) {
    std::string plain;  // since the last added token
    for (const TextSegment& segment : segments) {
      if (!segment.trusted) {
        plain += segment.text;
        continue;
      }
      const auto on_token = [&](int32_t id) {
        AppendText(plain, /*allow_special=*/false);
        plain.clear();
        ids_->push_back(id);
      };
      SplitAdded(
          segment.text, [&](std::string_view text) { plain += text; }, on_token);
    }
    AppendText(plain, /*allow_special=*/false);
  }

  void AppendText(std::string_view text, bool allow_special) {
    while (!text.empty()) {
      const size_t valid = ValidUtf8Prefix(text);
      if (valid > 0) AppendValid(text.substr(0, valid), allow_special);
      if (valid == text.size()) return;
      ids_->push_back(data_.bpe.byte_id(static_cast<uint8_t>(text[valid])));
      text.remove_prefix(valid + 1);
    }
  }

 private:
  void AppendValid(std::string_view text, bool allow_special) {
    if (!allow_special) {
      AppendWords(Normalize(data_.normal_forms, text, &normalized_));
      return;
    }
    SplitAdded(
        text, [&](std::string_view part) { AppendWords(part); },
        [&](int32_t id) { ids_->push_back(id); });
  }

  // Cuts the added tokens out of valid UTF-8; the text between them is normalised.
  template <typename OnText, typename OnToken>
  void SplitAdded(std::string_view text, const OnText& on_text, const OnToken& on_token) {
    data_.raw_matcher.Split(
        text,
        [&](std::string_view piece) {
          data_.normalized_matcher.Split(Normalize(data_.normal_forms, piece, &normalized_),
                                         on_text, on_token);
        },
        on_token);
  }

  void AppendWords(std::string_view text) {
    data_.pre_tokenizer.Split(text, [&](std::string_view word) {
      cache_.Append(word, ids_,
                    [&](std::string_view w, std::vector<int32_t>* ids) { Merge(w, ids); });
    });
  }

  void Merge(std::string_view word, std::vector<int32_t>* ids) {
    if (data_.ignore_merges) {
      const auto whole = data_.whole_words.find(word);
      if (whole != data_.whole_words.end()) {
        ids->push_back(whole->second);
        return;
      }
    }
    data_.bpe.Encode(word, ids);
  }

  const TokenizerData& data_;
  std::vector<int32_t>* ids_;
  WordCache& cache_;
  std::string normalized_;
};

}  // namespace

void Tokenizer::Encode(std::string_view text, std::vector<int32_t>* ids, bool allow_special) const {
  Encoder(*data_, ids).AppendText(text, allow_special);
}

void Tokenizer::Encode(std::span<const TextSegment> segments, std::vector<int32_t>* ids) const {
  Encoder(*data_, ids).AppendSegments(segments);
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, bool add_special_tokens) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (add_special_tokens) ids = data_->prefix_ids;
  Encode(text, &ids, /*allow_special=*/true);
  if (add_special_tokens) {
    ids.insert(ids.end(), data_->suffix_ids.begin(), data_->suffix_ids.end());
  }
  return ids;
}

std::vector<int32_t> Tokenizer::EncodeDocument(int32_t bos, std::string_view text,
                                               bool allow_special) const {
  std::vector<int32_t> ids;
  if (bos >= 0) ids.push_back(bos);
  Encode(text, &ids, allow_special);
  return ids;
}

std::shared_ptr<const std::vector<int32_t>> Tokenizer::SilentIds(int64_t embedded) const {
  std::vector<int32_t> silent;
  for (int32_t id = 0; id < embedded; ++id) {
    if (TokenBytes(id).empty()) silent.push_back(id);
  }
  if (silent.empty()) return nullptr;
  return std::make_shared<const std::vector<int32_t>>(std::move(silent));
}

std::optional<int32_t> Tokenizer::StartToken() const {
  if (data_->prefix_ids.empty()) return std::nullopt;
  return data_->prefix_ids.front();
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::string text;
  for (const int32_t id : ids) {
    if (skip_special_tokens && IsSpecial(id)) continue;
    text += TokenBytes(id);
  }
  return text;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(data_->tokens[id].bytes)
                                      : std::string_view();
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(data_->tokens.size()); }

void Tokenizer::CheckEmbedded(int64_t embedded, const std::string& model,
                              const std::string& cure) const {
  if (vocab_size() <= embedded) return;
  Fail("{}: its tokenizer has {} ids, but it embeds {}; they belong to different models, {}", model,
       vocab_size(), embedded, cure);
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view token) const {
  const auto found = data_->ids.find(token);
  if (found == data_->ids.end()) return std::nullopt;
  return found->second;
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && data_->tokens[id].special;
}

uint64_t Tokenizer::hash() const {
  std::call_once(data_->hash_once, [&] { data_->hash = Checksum64(ToJson()); });
  return data_->hash;
}

}  // namespace darkhorse
