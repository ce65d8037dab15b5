// What a Tokenizer consists of. Filled by tokenizer_read.cc (of a file, or of what
// tokenizer_parts.cc puts together) and tokenizer_train.cc, used by tokenizer.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace darkhorse {

// Lets a table keyed by strings be asked with views.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

template <typename Value>
using StringTable = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

struct TokenizerData {
  struct Token {
    std::string content;  // as tokenizer.json spells it; empty: no token has this id
    std::string bytes;    // what it decodes to
    bool in_vocab = false;
    bool special = false;
  };

  // The file, as data.
  std::vector<Token> tokens;      // by id
  StringTable<int32_t> ids;       // by content
  std::vector<Merge> merges;      // best rank first
  std::vector<AddedToken> added;  // in order of id
  bool ignore_merges =
      false;  // a word that is a vocabulary entry is that token, whatever the merges say

  // The file's other parts, as compact JSON, for writing it back.
  std::string truncation = "null";
  std::string padding = "null";
  std::string normalizer_json = "null";
  std::string pre_tokenizer_json = "null";
  std::string post_processor_json = "null";
  std::string decoder_json = "null";
  std::string model_json = "{}";  // without type, vocab and merges

  // Made from the above.
  AddedTokenMatcher raw_matcher;         // for added tokens looked for in the text as given
  AddedTokenMatcher normalized_matcher;  // and in the normalised text
  std::vector<NormalForm> normal_forms;
  PreTokenizer pre_tokenizer;
  BpeModel bpe;
  StringTable<int32_t> whole_words;  // bytes -> id, if ignore_merges
  std::vector<int32_t> prefix_ids;   // what add_special_tokens puts around a text
  std::vector<int32_t> suffix_ids;
  uint64_t serial =
      0;  // one for each tokenizer of this process, never 0: names it in the word caches

  mutable std::once_flag hash_once;
  mutable uint64_t hash = 0;
};

// The two long lists of a tokenizer.json, as views: hundreds of thousands of texts, too many to be
// made JSON of where they come from elsewhere.
struct VocabularyLists {
  std::vector<std::pair<std::string_view, int64_t>> tokens;           // model.vocab
  std::vector<std::pair<std::string_view, std::string_view>> merges;  // model.merges
};

// The two tokens of a merge spelled "a b"; none where that is not what the text is.
std::optional<std::pair<std::string_view, std::string_view>> MergeParts(std::string_view both);

// What a tokenizer.json says; `lists`, unless null, stand for those in its "model". Error naming
// `name` and the field.
std::shared_ptr<const TokenizerData> ReadTokenizer(const nlohmann::json& root,
                                                   const std::string& name,
                                                   const VocabularyLists* lists = nullptr);

}  // namespace darkhorse
