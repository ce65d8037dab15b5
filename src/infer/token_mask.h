// Which tokens may come next where a completion must be of a language: those whose bytes the
// grammar can read from where it is. Knows bytes and tokens, and nothing of what they say.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/byte_grammar.h"
#include "base/byte_grammar_reader.h"
#include "infer/token_tree.h"

namespace darkhorse {

// A set of token ids, a bit each.
class TokenSet {
 public:
  explicit TokenSet(int64_t vocabulary)
      : words_(static_cast<size_t>((vocabulary + kBits - 1) / kBits)) {}

  void Add(int32_t token) {
    words_[static_cast<size_t>(token) / kBits] |= uint64_t{1}
                                                  << (static_cast<size_t>(token) % kBits);
  }
  bool Has(int32_t token) const {
    const auto word = static_cast<size_t>(token) / kBits;
    return word < words_.size() && (words_[word] >> (static_cast<size_t>(token) % kBits) & 1) != 0;
  }
  void Add(const TokenSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool operator==(const TokenSet&) const = default;

  static constexpr size_t kBits = 64;
  const std::vector<uint64_t>& words() const { return words_; }

 private:
  std::vector<uint64_t> words_;
};

// A grammar over a vocabulary, and what completions have found out about it; those of any thread
// may share it. What a rule accepts does not depend on who waits for it, so it is worked out once:
// the tokens that end within the rule, and the places in the tree of tokens at which the rule may
// end, from where on the one that waits decides.
class TokenGrammar {
 public:
  TokenGrammar(std::shared_ptr<const TokenTree> tree, std::shared_ptr<const ByteGrammar> grammar);

  // Where a rule counts, longer tokens are not allowed, though shorter ones may say the same: so
  // that few counts need a look at the vocabulary of their own.
  static constexpr size_t kCountedBytes = 32;

  const TokenTree& tree() const { return *tree_; }
  const std::shared_ptr<const ByteGrammar>& grammar() const { return grammar_; }

 private:
  friend class TokenMask;
  // Of a node and as much of its rule's count as a token can tell.
  using Key = std::tuple<ByteGrammar::Node, int32_t, int32_t>;
  struct Within {
    std::vector<int32_t> tokens;          // if they are few
    std::unique_ptr<const TokenSet> set;  // else
    std::vector<int32_t> ends;            // nodes of the tree with some below
    int32_t reach = 0;                    // as ByteGrammarReader::reach
  };
  Key KeyOf(ByteGrammar::Node node, int32_t count) const;
  size_t Longest(ByteGrammar::Node node, int32_t count) const;  // of the tokens that are allowed
  std::shared_ptr<const Within> Find(ByteGrammar::Node node, int32_t count);

  const std::shared_ptr<const TokenTree> tree_;
  const std::shared_ptr<const ByteGrammar> grammar_;
  std::mutex mutex_;
  ByteGrammarReader reader_;
  std::map<Key, std::shared_ptr<const Within>> found_;
  size_t sets_ = 0;  // of found_
};

// What a completion must be.
struct TokenConstraint {
  std::shared_ptr<TokenGrammar> grammar;
  std::string begun;  // what was said before its first token and counts
};

// One completion's way through a grammar.
class TokenMask {
 public:
  explicit TokenMask(const TokenConstraint& constraint);

  // Whether these bytes may come next, which have then come; else nothing may from now on.
  bool Read(std::string_view bytes);
  bool Read(int32_t token) { return Read(grammar_->tree().text(token)); }

  // Whether it may end here.
  bool may_end() const { return reader_.MayEnd(state_); }
  // Whether nothing may follow, not even the end.
  bool dead() const { return !reader_.MayEnd(state_) && !reader_.MayGoOn(state_); }
  // The tokens that may come next. Valid until Read.
  const TokenSet& Allowed();
  // Leaves the logits of those, and of `ends` where it may end; the others become -infinity. False:
  // none is left.
  bool Restrict(std::span<float> logits, std::span<const int32_t> ends);

 private:
  using Key = std::tuple<ByteGrammar::Node, int32_t, int32_t, int32_t>;
  std::shared_ptr<const TokenSet> AllowedBy(int32_t run, int64_t budget);

  const std::shared_ptr<TokenGrammar> grammar_;
  ByteGrammarReader reader_;
  ByteGrammarReader::State state_;
  std::map<Key, std::shared_ptr<const TokenSet>> known_;
  std::shared_ptr<const TokenSet> allowed_;  // of state_; null: not known yet
};

}  // namespace darkhorse
