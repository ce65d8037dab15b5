#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/error.h"
#include "base/parallel.h"
#include "text/byte_alphabet.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

// Text of a small alphabet, so that pairs often tie and overlap.
Strings Documents(uint64_t seed, int count) {
  Strings documents;
  for (int d = 0; d < count; ++d) {
    RandomSequence random(seed, RandomStream::kTest, static_cast<uint64_t>(d));
    std::string text;
    for (int i = 0; i < 200; ++i) text += "aaabbc \n1-"[random.Below(10)];
    documents.push_back(text);
  }
  return documents;
}

// The definition: recount all pairs of all words before each merge. Returns the merges as they are
// spelt.
std::vector<std::pair<std::string, std::string>> SlowMerges(const Strings& documents,
                                                            const Tokenizer& bytes, int count,
                                                            int64_t min_frequency) {
  PreTokenizer splitter;
  splitter.AddSplit(Regex(kDefaultSplitPattern, "test"), SplitBehavior::kIsolated, false);
  std::map<std::vector<int>, int64_t> words;
  Strings spelling;
  for (int id = 0; id < 256; ++id) spelling.push_back(SpellBytes(bytes.TokenBytes(id)));
  for (const std::string& text : documents) {
    splitter.Split(text, [&](std::string_view word) {
      std::vector<int> symbols;
      for (const char byte : word)
        symbols.push_back(*bytes.TokenId(SpellBytes(std::string(1, byte))));
      ++words[symbols];
    });
  }
  std::vector<std::pair<std::string, std::string>> merges;
  while (static_cast<int>(spelling.size()) < 256 + count) {
    std::map<std::pair<int, int>, int64_t> pairs;
    for (const auto& [symbols, frequency] : words) {
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        pairs[{symbols[i], symbols[i + 1]}] += frequency;
    }
    auto best = pairs.end();
    for (auto it = pairs.begin(); it != pairs.end(); ++it) {
      if (best == pairs.end() || it->second > best->second) best = it;
    }
    if (best == pairs.end() || best->second < min_frequency) break;
    const auto [left, right] = best->first;
    merges.emplace_back(spelling[left], spelling[right]);
    const std::string merged = spelling[left] + spelling[right];
    const auto known = std::find(spelling.begin(), spelling.end(), merged);
    const int result = static_cast<int>(known - spelling.begin());
    if (known == spelling.end()) spelling.push_back(merged);
    std::map<std::vector<int>, int64_t> next;
    for (const auto& [symbols, frequency] : words) {
      std::vector<int> out;
      for (size_t i = 0; i < symbols.size(); ++i) {
        if (i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right) {
          out.push_back(result);
          ++i;
        } else {
          out.push_back(symbols[i]);
        }
      }
      next[out] += frequency;
    }
    words = std::move(next);
  }
  return merges;
}

TEST(TokenizerTrain, EqualsTheSlowDefinition) {
  TokenizerTrainOptions only_bytes;
  only_bytes.vocab_size = 256;
  const Tokenizer bytes = TrainTokenizer(Strings{}, only_bytes);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Strings documents = Documents(seed, 6);
    TokenizerTrainOptions options;
    options.vocab_size = 256 + 80;
    options.min_frequency = 1 + static_cast<int64_t>(seed % 3);
    const Tokenizer tokenizer = TrainTokenizer(documents, options);
    const json merges = json::parse(tokenizer.ToJson())["model"]["merges"];
    const auto expected = SlowMerges(documents, bytes, 80, options.min_frequency);
    ASSERT_GT(expected.size(), 20u);
    ASSERT_EQ(merges.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(merges[i][0], expected[i].first) << seed << " " << i;
      EXPECT_EQ(merges[i][1], expected[i].second) << seed << " " << i;
    }
  }
}

TEST(TokenizerTrain, SameWhateverTheThreadsAndTheOrder) {
  Strings documents = Documents(1, 40);
  std::string long_document;  // longer than a chunk
  for (int i = 0; i < 200; ++i) {
    for (const std::string& text : documents)
      long_document += text.substr(static_cast<size_t>(i) % 100) + "\nab";
  }
  documents.push_back(long_document);
  TokenizerTrainOptions options;
  options.vocab_size = 400;
  const int threads = NumThreads();
  SetNumThreads(1);
  const std::string one = TrainTokenizer(documents, options).ToJson();
  SetNumThreads(3);
  std::reverse(documents.begin(), documents.end());
  EXPECT_EQ(TrainTokenizer(documents, options).ToJson(), one);
  SetNumThreads(threads);
}

TEST(TokenizerTrain, SpecialTokensComeFirstAndAreNotLearned) {
  TokenizerTrainOptions options;
  options.special_tokens = {"<bos>", "<eos>", "<think>"};
  options.vocab_size = 259 + 20;
  Strings documents(50, "<think>aaa bbb<think>\xFF");
  const Tokenizer tokenizer = TrainTokenizer(documents, options);
  for (int id = 0; id < 3; ++id) {
    EXPECT_EQ(tokenizer.TokenId(options.special_tokens[id]), id);
    EXPECT_TRUE(tokenizer.IsSpecial(id));
  }
  EXPECT_EQ(tokenizer.TokenBytes(3), "!");  // the first byte in the order of the alphabet
  for (int32_t id = 3; id < tokenizer.vocab_size(); ++id) {
    EXPECT_EQ(tokenizer.TokenBytes(id).find("th"), std::string::npos);
  }
  EXPECT_EQ(tokenizer.Encode("<think>aaa"), (std::vector<int32_t>{2, *tokenizer.TokenId("aaa")}));
  EXPECT_EQ(tokenizer.Encode("12").size(), 2u);  // digits stay single
  for (uint64_t n = 0; n < 500; ++n) {
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(RandomBytes(n))), RandomBytes(n));
  }
}

// A merge that would spell a special token is never made: the text would come out as that token.
TEST(TokenizerTrain, NoMergeSpellsASpecialToken) {
  TokenizerTrainOptions options;
  options.special_tokens = {"ab"};
  options.vocab_size = 300;
  options.pattern = "[a-z]+";
  const Tokenizer tokenizer = TrainTokenizer(Strings(9, "aab aabb abc"), options);
  EXPECT_EQ(tokenizer.TokenId("ab"), 0);
  const json merges = json::parse(tokenizer.ToJson())["model"]["merges"];
  for (const json& merge : merges)
    EXPECT_NE(merge[0].get<std::string>() + merge[1].get<std::string>(), "ab");
}

TEST(TokenizerTrain, NoTokenIsLongerThanTheLimit) {
  const auto longest = [](const Tokenizer& tokenizer) {
    size_t most = 0;
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
      most = std::max(most, tokenizer.TokenBytes(id).size());
    return most;
  };
  const Strings documents = {std::string(100'000, 'a')};
  TokenizerTrainOptions options;
  options.vocab_size = 300;
  EXPECT_EQ(longest(TrainTokenizer(documents, options)), 128u);
  options.max_token_length = 3;  // bytes, not characters
  EXPECT_EQ(longest(TrainTokenizer({"\xC3\xA9\xC3\xA9 \xC3\xA9\xC3\xA9"}, options)), 2u);
  options.max_token_length = 1;
  EXPECT_EQ(TrainTokenizer(documents, options).vocab_size(), 256);
  // Other merges take the place of those that would be too long.
  options.max_token_length = 4;
  const Tokenizer tokenizer = TrainTokenizer(Strings(9, "abcdef abcdef xyz"), options);
  EXPECT_EQ(longest(tokenizer), 4u);
  EXPECT_EQ(tokenizer.Encode("abcdef").size(), 2u);
}

TEST(TokenizerTrain, ProgressAndFewerPairsThanWanted) {
  int64_t bytes = 0;
  const Tokenizer tokenizer = TrainTokenizer(Strings{"ab ab", "x"}, TokenizerTrainOptions{},
                                             [&](const char* phase, int64_t done, int64_t) {
                                               if (std::string(phase) == "count") bytes = done;
                                             });
  EXPECT_EQ(bytes, 6);
  EXPECT_EQ(tokenizer.vocab_size(), 257);  // "ab"; " ab" occurs once
}

// Merges are told every 256, and the last.
TEST(TokenizerTrain, ProgressIsOfTheMergesThatAreWanted) {
  std::string words;  // of two letters, each with a pair of its own
  for (char a = 'a'; a <= 'z'; ++a) {
    for (char b = 'a'; b <= 'z'; ++b) words += fmt::format("{0}{1}\n{0}{1}\n", a, b);
  }
  TokenizerTrainOptions options;
  options.special_tokens = {"<x>", "<y>"};
  options.vocab_size = 258 + 600;
  std::vector<std::tuple<std::string, int64_t, int64_t>> told;
  const auto train = [&](const Strings& documents) {
    told.clear();
    TrainTokenizer(documents, options, [&](const char* phase, int64_t done, int64_t total) {
      told.emplace_back(phase, done, total);
    });
    return told;
  };
  const auto bytes = static_cast<int64_t>(words.size());
  EXPECT_EQ(
      train({words}),
      (decltype(told){
          {"count", bytes, 0}, {"merge", 256, 600}, {"merge", 512, 600}, {"merge", 600, 600}}));
  // Text is counted in pieces of 16 MiB; bytes that are no UTF-8 are no words.
  constexpr int64_t kPiece = 16 << 20;
  EXPECT_EQ(train({std::string(kPiece, '\xFF'), "ab ab"}),
            (decltype(told){{"count", kPiece, 0}, {"count", kPiece + 5, 0}, {"merge", 1, 600}}));
}

TEST(TokenizerTrain, ImpossibleOptionsAreUsageErrors) {
  const auto refusal = [](int32_t vocab_size, Strings specials, const std::string& pattern = "",
                          int64_t min_frequency = 2, int64_t max_token_length = 1) -> std::string {
    TokenizerTrainOptions options{vocab_size, std::move(specials), pattern, min_frequency};
    options.max_token_length = max_token_length;
    try {
      TrainTokenizer(Strings{"a"}, options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal(255, {}),
            "vocab_size = 255 is too small: 256 bytes and 0 special tokens need 256");
  EXPECT_EQ(refusal(256, {"<x>"}),
            "vocab_size = 256 is too small: 256 bytes and 1 special tokens need 257");
  EXPECT_EQ(refusal(-1, {}),
            "vocab_size = -1 is too small: 256 bytes and 0 special tokens need 256");
  EXPECT_EQ(refusal(257, {"<x>"}, "", 1), "");
  EXPECT_EQ(refusal(300, {""}), "special_tokens: \"\" must be UTF-8 text and not empty");
  EXPECT_EQ(refusal(300, {"<x>", "\xFF!"}),
            "special_tokens: \"\xFF!\" must be UTF-8 text and not empty");
  EXPECT_EQ(refusal(300, {"a"}),
            "special_tokens: \"a\" is the spelling of a byte: use a longer name");
  EXPECT_EQ(refusal(300, {"<x>", "<y>", "<x>"}), "special_tokens: \"<x>\" is listed twice");
  EXPECT_EQ(refusal(300, {}, "", 0), "min_frequency = 0 must be at least 1");
  EXPECT_EQ(refusal(300, {}, "", 1, 0), "max_token_length = 0 must be at least 1");
  EXPECT_EQ(refusal(300, {}, "("),
            "pattern: the pattern \"(\" is not a regular expression PCRE2 knows: missing closing "
            "parenthesis");
}

}  // namespace
}  // namespace darkhorse
