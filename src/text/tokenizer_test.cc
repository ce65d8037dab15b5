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

// As `tokenizers` does: the byte is gone before anything merges, or is unk_token.
TEST(Tokenizer, BytesMayLackATokenOfTheirOwn) {
  json file = Example();
  file["model"]["vocab"].erase("\xC4\x84");  // byte 4
  const Ids the = Make(file).Encode("the");
  EXPECT_EQ(the.size(), 1u);
  EXPECT_EQ(Make(file).Encode(std::string("t\x04he\x04\x04")), the);
  const std::string many(100, '\x04');
  EXPECT_EQ(Make(file).Encode("t" + many + "he"), the);
  file["model"]["unk_token"] = "the";
  const Tokenizer tokenizer = Make(file);
  EXPECT_EQ(tokenizer.Encode(std::string("a\x04\x04")),
            (Ids{*tokenizer.TokenId("a"), the[0], the[0]}));
  file["model"]["fuse_unk"] = true;
  EXPECT_TRUE(Says(MessageOf([&] { Make(file); }), "model.fuse_unk is true, and bytes have no"));
}

TEST(Tokenizer, WritesWhatItRead) {
  json file = Example();
  file["version"] = "1.0";
  file["truncation"] = {{"max_length", 7}};
  file["padding"] = {{"pad_id", 8}};
  file["normalizer"] = {{"type", "NFC"}};
  file["post_processor"] = {{"type", "ByteLevel"}};
  file["decoder"]["trim_offsets"] = true;
  file["model"]["unk_token"] = nullptr;
  file["model"]["merges"] = json::array({{"t", "h"}, {"th", "e"}, {"\xC4\xA0", "the"}});
  // Every flag of an added token true in one alone, and false in one alone.
  file["added_tokens"] = json::array();
  const std::vector<std::string> flags = {"single_word", "lstrip", "rstrip", "normalized",
                                          "special"};
  for (int id = 259; id < 269; ++id) {
    json token = {{"id", id}, {"content", "<" + std::to_string(id) + ">"}};
    for (int flag = 0; flag < 5; ++flag)
      token[flags[flag]] = ((id - 259) % 5 == flag) == (id < 264);
    file["added_tokens"].push_back(token);
  }
  const Tokenizer tokenizer = Make(file);
  EXPECT_EQ(json::parse(tokenizer.ToJson()), file);
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
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = 2000000000; }), "2000000000");
  expect(spoil([](json& f) { f["model"]["vocab"]["q"] = 18446744073709551615u; }),
         "18446744073709551615");
  expect(spoil([](json& f) { f["added_tokens"].push_back(Added("<x>", 261)); }), "the id 261");
  const auto decoder = [&](const json& decoders) {
    return spoil([&](json& f) { f["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}}; });
  };
  const json bytes = Example()["decoder"], fuse = {{"type", "Fuse"}};
  expect(decoder(json::array()), "decoder has no ByteLevel");
  expect(decoder({bytes, bytes}), "decoders[1].type");  // would decode what was decoded
  expect(decoder({fuse, bytes}), "decoders[0].type");   // would decode added tokens
  expect(decoder({bytes, {{"type", "Strip"}}}), "Strip");
  EXPECT_EQ(decoder({bytes, fuse}), "");
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
  EXPECT_EQ(with_pattern({{"Regex", "a"}}, "Sideways"),
            "x.json: pre_tokenizer.pretokenizers[0].behavior is \"Sideways\", which is not "
            "supported; supported: Isolated, Removed, MergedWithPrevious, MergedWithNext, "
            "Contiguous");
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

// To the letter: where it stands, and which of two tokens and ids is which.
TEST(Tokenizer, RefusalsAreSaidInFull) {
  const struct {
    const char* place;  // of the example, which gets this value
    json value;
    const char* message;  // behind "x.json"
  } kCases[] = {
      {"/model", nullptr,
       ": no field \"model\": the file is cut short or no byte-level BPE tokenizer"},
      {"/model/type", "Unigram",
       ": model.type is \"Unigram\", which is not supported; supported: \"BPE\""},
      {"/model/end_of_word_suffix", "</w>",
       ": model.end_of_word_suffix is not empty: byte-level BPE has none"},
      {"/model/continuing_subword_prefix", "#",
       ": model.continuing_subword_prefix is not empty: byte-level BPE has none"},
      {"/model/dropout", 0.1,
       ": model.dropout is set: set it to null, for ids that are the same every time"},
      {"/model/vocab", 7, ": model.vocab must be an object of tokens and their ids"},
      {"/model/vocab", json::object(),
       ": model.merges[0] needs the token \"t\", which is not in the vocabulary"},
      {"/model/vocab/q", 257,
       ": model.vocab gives the token \"the\" the id 257, which \"q\" already has"},
      {"/model/vocab/zz", -1,
       ": model.vocab is -1: ids must be at least 0 and below 1548 (about twice the number of "
       "tokens)"},
      {"/model/vocab/zz", 1548,
       ": model.vocab is 1548: ids must be at least 0 and below 1548 (about twice the number of "
       "tokens)"},
      {"/model/vocab/zz", 1547, nullptr},
      {"/model/vocab/zz", "7", ": model.vocab must be a whole number, not string"},
      {"/model/vocab/", 261, ": model.vocab has an empty token"},
      {"/model/merges", 7, ": model.merges must be an array, not number"},
      {"/model/merges/3", "q zz",
       ": model.merges[3] needs the token \"zz\", which is not in the vocabulary"},
      {"/model/merges/3", "q r",
       ": model.merges[3] needs the token \"qr\", which is not in the vocabulary"},
      {"/model/merges/3", "q r s",
       ": model.merges[3] must be two tokens: \"a b\" or [\"a\", \"b\"]"},
      {"/model/merges/3", 7, ": model.merges[3] must be two tokens: \"a b\" or [\"a\", \"b\"]"},
      {"/added_tokens", 7, ": added_tokens must be an array, not number"},
      {"/added_tokens/0/id", 256,
       ": added_tokens[0].id gives the token \"<x>\" the id 256, which \"th\" already has"},
      {"/added_tokens/1/content", "<x>",
       ": added_tokens[1].id gives the token \"<x>\" the id 260, but it already has the id 259"},
      {"/added_tokens/0/content", "", ": added_tokens[0].content must have 1 to 1024 bytes, not 0"},
      {"/added_tokens/0/content", std::string(1024, 'x'), nullptr},
      {"/added_tokens/0/content", std::string(1025, 'x'),
       ": added_tokens[0].content must have 1 to 1024 bytes, not 1025"},
      {"/added_tokens/0/lstrip", 1, ": added_tokens[0].lstrip must be true or false, not number"},
      {"/normalizer",
       {{"type", "Lowercase"}},
       ": normalizer.type is \"Lowercase\", which is not supported; supported: Sequence, NFC, NFD, "
       "NFKC, NFKD"},
      {"/pre_tokenizer", nullptr,
       ": pre_tokenizer has no ByteLevel: only byte-level BPE tokenizers are supported"},
      {"/pre_tokenizer/type", "Metaspace",
       ": pre_tokenizer.type is \"Metaspace\", which is not supported; supported: Sequence, Split, "
       "Digits, ByteLevel"},
      {"/pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {{{"type", "ByteLevel"}}, {{"type", "Digits"}}}}},
       ": pre_tokenizer.pretokenizers[1] comes after ByteLevel, which must be the last"},
      {"/decoder/type", "WordPiece",
       ": decoder.type is \"WordPiece\", which is not supported; supported: ByteLevel once, and "
       "Fuse "
       "behind it"},
      {"/post_processor",
       {{"type", "Other"}},
       ": post_processor.type is \"Other\", which is not supported; supported: Sequence, "
       "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel"},
      {"/post_processor",
       {{"type", "TemplateProcessing"}, {"single", json::array()}},
       ": post_processor.single leaves the text out"},
      {"/post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"Sequence", {{"id", "A"}}}}, {{"Sequence", {{"id", "A"}}}}}}},
       ": post_processor.single uses the text twice"},
  };
  for (const auto& [place, value, message] : kCases) {
    json file = Example();
    file[json::json_pointer(place)] = value;
    EXPECT_EQ(ErrorOf(file.dump()), message == nullptr ? "" : std::string("x.json") + message)
        << place;
  }
  json file = Example();
  file["model"].erase("vocab");
  EXPECT_EQ(ErrorOf(file.dump()),
            "x.json: model has no field \"vocab\": the file is cut short or no byte-level BPE "
            "tokenizer");
}

// What transformers takes for a field that is absent.
TEST(Tokenizer, AbsentFieldsTakeTheirDefaults) {
  const json whole = Example();
  // The ids of a text once the field is absent, and once it has each value; `same`: which is the
  // default.
  const auto expect_default = [](json file, const std::string& place, const json& standard,
                                 const json& other, const std::string& text) {
    const json::json_pointer at(place);
    const auto ids = [&](const json& value) {
      file[at] = value;
      return Make(file).Encode(text);
    };
    file[at.parent_pointer()].erase(at.back());
    const Ids absent = Make(file).Encode(text);
    EXPECT_EQ(absent, ids(standard)) << place;
    EXPECT_EQ(absent, ids(nullptr)) << place;
    EXPECT_NE(absent, ids(other)) << place;
  };
  expect_default(whole, "/pre_tokenizer/add_prefix_space", true, false, "the");
  json file = whole;
  file["model"]["merges"] = {"t h", "th e", {"\xC4\xA0", "the"}};
  file["model"]["vocab"]["e\xC4\xA0"] = 261;
  file["model"]["merges"].push_back({"e", "\xC4\xA0"});
  expect_default(file, "/pre_tokenizer/use_regex", true, false, "e e");
  expect_default(whole, "/added_tokens/0/single_word", false, true, "a<x>a");
  expect_default(whole, "/added_tokens/0/lstrip", false, true, "a <x> a");
  expect_default(whole, "/added_tokens/0/rstrip", false, true, "a <x> a");
  // A token of text is looked for in the normalised text, a special one in the text as it is.
  file = whole;
  file["normalizer"] = {{"type", "NFKC"}};
  file["added_tokens"][0]["content"] = "\xEF\xBC\xA1";  // U+FF21, which NFKC makes an A
  for (const bool special : {false, true}) {
    file["added_tokens"][0]["special"] = special;
    expect_default(file, "/added_tokens/0/normalized", !special, special, "A");
  }
  file["added_tokens"][0]["normalized"] = true;
  file["added_tokens"][0].erase("special");
  EXPECT_FALSE(Make(file).IsSpecial(259));
  // A number of two digits is one word or two; the word "12" is a token.
  file = whole;
  file["model"]["vocab"]["12"] = 261;
  file["model"]["merges"].push_back("1 2");
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", false}}, whole["pre_tokenizer"]}}};
  expect_default(file, "/pre_tokenizer/pretokenizers/0/individual_digits", false, true, "12");
  file["pre_tokenizer"]["pretokenizers"][0] = {
      {"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Removed"}};
  expect_default(file, "/pre_tokenizer/pretokenizers/0/invert", false, true, "ab");
  file = whole;
  file["model"]["vocab"]["ab"] = 261;  // a word that no merge makes
  expect_default(file, "/model/ignore_merges", false, true, "ab");
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
