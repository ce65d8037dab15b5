#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "base/scratch_testing.h"
#include "text/tokenizer_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

json Added(const std::string& content, int id, bool special = true) {
  return {{"content", content}, {"id", id}, {"special", special}, {"normalized", false}};
}

// The tokens th = 256, the = 257, " the" = 258, <x> = 259 (special), <y> = 260 (not special).
json Example() {
  return SmallTokenizerJson({{"added_tokens", {Added("<x>", 259), Added("<y>", 260, false)}}},
                            {"th", "the", "\xC4\xA0the"}, {"t h", "th e", {"\xC4\xA0", "the"}});
}

Tokenizer Make(const json& file) { return Tokenizer::FromJson(file.dump(), "x.json"); }

std::string ErrorOf(const std::string& text) {
  return MessageOf([&] { Tokenizer::FromJson(text, "x.json"); });
}

TEST(Tokenizer, MergesByRankLeftmostFirst) {
  const Tokenizer tokenizer = Make(Example());
  EXPECT_EQ(tokenizer.vocab_size(), 261);
  EXPECT_EQ(tokenizer.Encode("the the"), (Ids{257, 258}));
  EXPECT_EQ(tokenizer.Encode("tthh"), (Ids{*tokenizer.TokenId("t"), 256, *tokenizer.TokenId("h")}));
  EXPECT_EQ(tokenizer.TokenBytes(258), " the");
  EXPECT_EQ(tokenizer.TokenId("\xC4\xA0the"), 258);
  EXPECT_EQ(tokenizer.TokenId("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.Decode(Ids{257, -1, 1 << 20, 258}), "the the");
}

// A heap encodes long words, scanning encodes short ones: both against the definition.
TEST(Tokenizer, LongWordsMergeLikeShortOnes) {
  const Tokenizer tokenizer = Make(SmallTokenizerJson(
      {}, {"aa", "aaaa", "ab", "ba", "aba", "bb"}, {"a a", "aa aa", "b a", "a b", "ab a", "b b"}));
  const std::vector<std::pair<std::string, std::string>> merges = {
      {"a", "a"}, {"aa", "aa"}, {"b", "a"}, {"a", "b"}, {"ab", "a"}, {"b", "b"}};
  for (uint64_t n = 0; n < 400; ++n) {
    RandomSequence random(3, RandomStream::kTest, n);
    std::vector<std::string> symbols;
    std::string word;
    for (uint64_t length = random.Below(120); length > 0; --length) {
      word += random.Below(4) == 0 ? "b" : "a";
      symbols.push_back(word.substr(word.size() - 1));
    }
    // The first merge in rank order that applies anywhere is applied at its leftmost place, then
    // again from the start.
    for (size_t rank = 0; rank < merges.size();) {
      size_t i = 0;
      const auto& [left, right] = merges[rank];
      while (i + 1 < symbols.size() && (symbols[i] != left || symbols[i + 1] != right)) ++i;
      if (i + 1 >= symbols.size()) {
        ++rank;
        continue;
      }
      symbols[i] = left + right;
      symbols.erase(symbols.begin() + static_cast<int64_t>(i) + 1);
      rank = 0;
    }
    Ids expected;
    for (const std::string& symbol : symbols) expected.push_back(*tokenizer.TokenId(symbol));
    EXPECT_EQ(tokenizer.Encode(word), expected) << word;
  }
}

TEST(Tokenizer, EveryByteStringComesBack) {
  const Tokenizer tokenizer = Make(Example());
  for (uint64_t n = 0; n < 20000; ++n) {
    const std::string text = RandomBytes(n);
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text) << n;
    Ids ids;
    tokenizer.Encode(text, &ids, /*allow_special=*/false);
    EXPECT_EQ(tokenizer.Decode(ids), text) << n;
  }
}

TEST(Tokenizer, BrokenBytesAreTheirOwnTokens) {
  const Tokenizer tokenizer = Make(Example());
  EXPECT_EQ(tokenizer.Encode("the\xFFthe"), (Ids{257, *tokenizer.TokenId("\xC3\xBF"), 257}));
}

TEST(Tokenizer, UntrustedTextHasNoAddedTokens) {
  const Tokenizer tokenizer = Make(Example());
  EXPECT_EQ(tokenizer.Encode("the<x><y>"), (Ids{257, 259, 260}));
  Ids ids;
  tokenizer.Encode("the<x><y>", &ids, /*allow_special=*/false);
  EXPECT_EQ(ids.size(), 7u);
  EXPECT_EQ(tokenizer.Decode(ids), "the<x><y>");
  // Nor by way of ignore_merges.
  json file = Example();
  file["model"]["ignore_merges"] = true;
  file["model"]["vocab"]["<x>"] = 259;
  ids.clear();
  Make(file).Encode("<x>", &ids, /*allow_special=*/false);
  EXPECT_EQ(ids.size(), 3u);
}

TEST(Tokenizer, DecodeCanSkipSpecialTokens) {
  const Tokenizer tokenizer = Make(Example());
  EXPECT_TRUE(tokenizer.IsSpecial(259));
  EXPECT_FALSE(tokenizer.IsSpecial(260));
  EXPECT_FALSE(tokenizer.IsSpecial(-1));
  EXPECT_EQ(tokenizer.Decode(Ids{259, 257, 260}, /*skip_special_tokens=*/true), "the<y>");
}

// The word cache belongs to the thread: another tokenizer, or another thread, must not see its
// entries.
TEST(Tokenizer, TokenizersAndThreadsDoNotMix) {
  const Tokenizer one = Make(Example());
  const Tokenizer two = Make(SmallTokenizerJson({}, {"he"}, {"h e"}));
  ParallelFor(64, [&](int64_t) {
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(one.Encode("the"), Ids{257});
      EXPECT_EQ(two.Encode("the"), (Ids{*two.TokenId("t"), 256}));
    }
  });
}

// The second of two templates goes around the first.
TEST(Tokenizer, TemplatesAreAppliedFromTheInsideOut) {
  const auto around = [](const char* before, const char* after) {
    const auto special = [](const char* name) -> json {
      return {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
    };
    return json{
        {"type", "TemplateProcessing"},
        {"single",
         {special(before), {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, special(after)}},
        {"special_tokens",
         {{"<x>", {{"id", "<x>"}, {"ids", {259}}}}, {"<y>", {{"id", "<y>"}, {"ids", {260}}}}}}};
  };
  json file = Example();
  file["post_processor"] = {{"type", "Sequence"},
                            {"processors", {around("<x>", "<y>"), around("<y>", "<x>")}}};
  EXPECT_EQ(Make(file).Encode("the", /*add_special_tokens=*/true), (Ids{260, 259, 257, 260, 259}));
  EXPECT_EQ(Make(file).Encode("the", /*add_special_tokens=*/false), Ids{257});
}

// The package joins such tokens as they are spelt, with blanks between them, which nobody wants.
TEST(Tokenizer, WithoutADecoderTokensAreBytesAllTheSame) {
  json file = Example();
  for (const bool absent : {false, true}) {
    file["decoder"] = nullptr;
    if (absent) file.erase("decoder");
    const Tokenizer tokenizer = Make(file);
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("the the\n")), "the the\n");
    EXPECT_TRUE(json::parse(tokenizer.ToJson())["decoder"].is_null());
  }
}

TEST(Tokenizer, WritesWhatItRead) {
  json file = Example();
  file["truncation"] = {{"max_length", 7}};
  file["model"]["unk_token"] = nullptr;
  const Tokenizer tokenizer = Make(file);
  const json back = json::parse(tokenizer.ToJson());
  EXPECT_EQ(back["model"]["vocab"], file["model"]["vocab"]);
  EXPECT_EQ(back["truncation"], file["truncation"]);
  EXPECT_EQ(back["added_tokens"].size(), 2u);
  EXPECT_EQ(back["pre_tokenizer"], file["pre_tokenizer"]);
  EXPECT_EQ(Tokenizer::FromJson(tokenizer.ToJson(), "again").ToJson(), tokenizer.ToJson());
  EXPECT_NE(tokenizer.hash(), Make(SmallTokenizerJson({}, {"he"}, {"h e"})).hash());
}

// Each case spoils one thing of the example; the message must name the file and what is wrong.
TEST(Tokenizer, SpoiltFilesAreNamed) {
  const auto spoil = [](const auto& change) {
    json file = Example();
    change(file);
    return ErrorOf(file.dump());
  };
  const auto expect = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find("x.json"), std::string::npos) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  expect(ErrorOf(""), "not valid JSON");
  expect(ErrorOf("[]"), "JSON object");
  expect(ErrorOf(std::string(100000, '[')), "nests deeper than 64 levels");
  expect(ErrorOf("{}"), "model");
  expect(ErrorOf(Example().dump().substr(0, 2000)), "not valid JSON");
  expect(spoil([](json& f) { f["model"]["type"] = "Unigram"; }), "Unigram");
  expect(spoil([](json& f) { f["model"].erase("vocab"); }), "vocab");
  expect(spoil([](json& f) { f["model"]["vocab"].erase("b"); }), "\"b\" for byte 98");
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = 257; }), "257");
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = -1; }), "-1");
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = 2000000000; }), "2000000000");
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = 18446744073709551615u; }),
         "18446744073709551615");
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = "7"; }), "whole number");
  expect(spoil([](json& f) { f["model"]["merges"].push_back("q zz"); }), "\"zz\"");
  expect(spoil([](json& f) { f["model"]["merges"].push_back("q r"); }), "\"qr\"");
  expect(spoil([](json& f) { f["model"]["merges"].push_back("q r s"); }), "merges[3]");
  expect(spoil([](json& f) { f["model"]["merges"].push_back(7); }), "merges[3]");
  expect(spoil([](json& f) { f["model"]["dropout"] = 0.1; }), "dropout");
  expect(spoil([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }), "end_of_word_suffix");
  expect(spoil([](json& f) { f["added_tokens"][0]["id"] = 256; }), "<x>");
  expect(spoil([](json& f) { f["added_tokens"][1]["content"] = "<x>"; }), "<x>");
  expect(spoil([](json& f) { f["added_tokens"].push_back(Added("<x>", 261)); }), "the id 261");
  expect(spoil([](json& f) { f["added_tokens"][0]["content"] = ""; }), "content");
  expect(spoil([](json& f) { f["added_tokens"][0]["lstrip"] = 1; }), "lstrip");
  expect(spoil([](json& f) { f["added_tokens"] = 7; }), "added_tokens");
  const auto decoder = [&](const json& decoders) {
    return spoil([&](json& f) { f["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}}; });
  };
  const json bytes = Example()["decoder"], fuse = {{"type", "Fuse"}};
  expect(decoder(json::array()), "decoder has no ByteLevel");
  expect(decoder({bytes, bytes}), "decoders[1].type");  // would decode what was decoded
  expect(decoder({fuse, bytes}), "decoders[0].type");   // would decode added tokens
  expect(decoder({bytes, {{"type", "Strip"}}}), "Strip");
  EXPECT_EQ(decoder({bytes, fuse}), "");
  expect(spoil([](json& f) { f["decoder"]["type"] = "WordPiece"; }), "WordPiece");
  expect(spoil([](json& f) { f["normalizer"] = {{"type", "Lowercase"}}; }), "Lowercase");
  expect(spoil([](json& f) { f["pre_tokenizer"] = nullptr; }), "ByteLevel");
  expect(spoil([](json& f) { f["pre_tokenizer"]["type"] = "Metaspace"; }), "Metaspace");
  expect(spoil([](json& f) { f["post_processor"] = {{"type", "Other"}}; }), "Other");
  const json whole = {{"Sequence", {{"id", "A"}}}}, roberta = {{"type", "RobertaProcessing"}};
  expect(spoil([&](json& f) {
           const json first = {{"type", "TemplateProcessing"}, {"single", json::array({whole})}};
           f["post_processor"] = {{"type", "Sequence"}, {"processors", {first, roberta}}};
         }),
         "processors[1] comes after a TemplateProcessing");
  const auto ends = [&](const json& cls) {
    return spoil([&](json& f) {
      f["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", cls}, {"sep", {"<y>", 260}}};
    });
  };
  EXPECT_EQ(ends({"<x>", 259}), "");
  expect(ends({"<x>", 261}), "post_processor.cls[1]");
  expect(ends({"<x>"}), "must be a token and its id");
  const auto with_pattern = [&](const json& pattern, const char* behavior) {
    return spoil([&](json& f) {
      const json split = {
          {"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
      const json steps = json::array({split, f["pre_tokenizer"]});
      f["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    });
  };
  expect(with_pattern({{"Regex", "(a"}}, "Isolated"), "(a");
  expect(with_pattern({{"Regex", std::string(1 << 17, 'a')}}, "Isolated"), "shorten");
  expect(with_pattern({{"Regex", "a"}}, "Sideways"), "Sideways");
  expect(with_pattern({{"Glob", "a"}}, "Isolated"), "String");
  EXPECT_EQ(with_pattern({{"Regex", "a"}}, "Isolated"), "");
  // Each step is a call deeper.
  const auto with_steps = [&](size_t count) {
    return spoil([&](json& f) {
      json steps(count, {{"type", "Digits"}});
      steps.push_back(f["pre_tokenizer"]);
      f["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    });
  };
  expect(with_steps(60'000), "pretokenizers[256] is one step too many: at most 256");
  EXPECT_EQ(with_steps(200), "");
}

// A token with two ids: readers disagree on which counts.
TEST(Tokenizer, ATokenTwiceInTheVocabularyIsRefused) {
  std::string text = Example().dump();
  const std::string key = "\"vocab\":{";
  text.insert(text.find(key) + key.size(), "\"the\":257,");
  EXPECT_TRUE(Says(ErrorOf(text), "x.json: 'the' appears twice"));
}

TEST(Tokenizer, MissingFileIsNamed) {
  EXPECT_TRUE(Says(MessageOf([] { Tokenizer::Load("/nowhere/tokenizer.json"); }),
                   "/nowhere/tokenizer.json"));
}

}  // namespace
}  // namespace darkhorse
