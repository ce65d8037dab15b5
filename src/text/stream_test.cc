#include "text/stream.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/utf8.h"
#include "text/tokenizer_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;

// The 256 bytes, words of one and of several characters, half characters, and three added tokens of
// which two are special.
Tokenizer SmallTokenizer() {
  std::vector<std::string> extra;
  for (const char* word : {"ab", " the", "\n\n", "\xC3\xA9", "\xE4\xBD", "\xF0\x9F", "\x98\x80"})
    extra.push_back(SpellBytes(word));
  json added = json::array();
  const auto add = [&](const std::string& content, bool special) {
    added.push_back({{"id", 256 + extra.size() + added.size()},
                     {"content", content},
                     {"special", special},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  };
  add("<s>", true);
  add("</s>", true);
  add("<tool>", false);
  return Tokenizer::FromJson(
      SmallTokenizerJson({{"added_tokens", added}}, extra, json::array()).dump(), "small");
}

int32_t Byte(const Tokenizer& tokenizer, const std::string& byte) {
  return *tokenizer.TokenId(SpellBytes(byte));
}

// Bytes at the end of `text` that some continuation makes a valid character, found by trying them
// all: what a stream has to hold back, and no more.
size_t BytesToWaitFor(const std::string& text) {
  const size_t valid = text.size() - std::min<size_t>(3, text.size());
  for (size_t begin = valid; begin < text.size(); ++begin) {
    for (int second = 0x80; second < 0xC0; ++second) {
      for (size_t more = 1; more <= 3; ++more) {
        std::string whole = text.substr(begin);
        if (more > 0) whole += static_cast<char>(second);
        whole.append(more - 1, '\x80');
        size_t pos = 0;
        if (!IsValidUtf8(whole)) continue;
        NextUtf8(whole, &pos);
        if (pos == whole.size()) return text.size() - begin;
      }
    }
  }
  return 0;
}

// Random ids, some of them no token's: the pieces together are what Decode makes of all, and after
// each id all is out but what a later one may complete.
void ExpectDecodes(const Tokenizer& tokenizer, uint64_t streams) {
  for (uint64_t n = 0; n < streams; ++n) {
    RandomSequence random(5, RandomStream::kTest, n);
    // The first 256 ids are single bytes, of which most characters are broken.
    const uint64_t bound = n % 2 == 0 ? 300 : static_cast<uint64_t>(tokenizer.vocab_size()) + 3;
    std::vector<int32_t> ids(random.Below(40));
    for (int32_t& id : ids) id = static_cast<int32_t>(random.Below(bound)) - 1;
    for (const bool skip : {false, true}) {
      TextStream stream(tokenizer, skip);
      std::string out;
      for (size_t i = 0; i < ids.size(); ++i) {
        out += stream.Next(ids[i]);
        const std::string all = tokenizer.Decode(std::span(ids).first(i + 1), skip);
        ASSERT_EQ(out, all.substr(0, all.size() - BytesToWaitFor(all))) << n << ", id " << i;
      }
      EXPECT_EQ(out + stream.End(), tokenizer.Decode(ids, skip)) << n;
      EXPECT_EQ(stream.End(), "");
    }
  }
}

TEST(TextStream, ForPeopleShowsTagsAndNoOtherSpecialToken) {
  json added = json::array();
  for (const char* content : {"<s>", "<think>", "</think>", "<answer>", "</answer>", "<tool>"})
    added.push_back({{"id", 256 + added.size()},
                     {"content", content},
                     {"special", std::string(content) != "<tool>"},
                     {"normalized", false}});
  const Tokenizer tokenizer = Tokenizer::FromJson(
      SmallTokenizerJson({{"added_tokens", added}}, {}, json::array()).dump(), "small");
  const auto text = [&](bool for_people) {
    TextStream stream(tokenizer, for_people);
    std::string all;
    for (int32_t id = 256; id < 262; ++id) all += stream.Next(id);
    return all + stream.End();
  };
  EXPECT_EQ(text(true), "<think></think><answer></answer><tool>");
  EXPECT_EQ(text(false), "<s><think></think><answer></answer><tool>");
}

TEST(TextStream, PiecesAreWhatDecodeMakesOfAll) { ExpectDecodes(SmallTokenizer(), 2000); }

TEST(TextStream, PublishedTokenizersToo) {
  for (const char* name : {"deepseek_v3", "qwen3"}) {
    const std::string directory = PublishedDirectory(name);
    if (!FileExists(directory + "/tokenizer.json")) GTEST_SKIP() << directory << " is absent";
    const Tokenizer tokenizer = Tokenizer::Load(directory);
    ExpectDecodes(tokenizer, 300);
    for (uint64_t n = 0; n < 300; ++n) {
      const std::vector<int32_t> ids = tokenizer.Encode(RandomBytes(n));
      TextStream stream(tokenizer);
      std::string out;
      for (const int32_t id : ids) out += stream.Next(id);
      EXPECT_EQ(out + stream.End(), tokenizer.Decode(ids)) << n;
    }
  }
}

TEST(TextStream, HoldsBackHalfACharacterAndNothingElse) {
  const Tokenizer tokenizer = SmallTokenizer();
  TextStream stream(tokenizer);
  EXPECT_EQ(stream.Next(Byte(tokenizer, "a")), "a");
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\xF0")), "");
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\x9F")), "");
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\x98")), "");
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\x80")), "\xF0\x9F\x98\x80");
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\xFF")), "\xFF");  // begins nothing
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\xE0")), "");
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\x80")), "\xE0\x80");  // an overlong form
  EXPECT_EQ(stream.Next(Byte(tokenizer, "\xC3")), "");
  EXPECT_EQ(stream.End(), "\xC3");
}

// The text that a list of pieces becomes, and how many of them were taken.
std::pair<std::string, size_t> Stopped(const std::vector<std::string>& stops,
                                       const std::vector<std::string>& pieces) {
  StoppedText text(stops);
  size_t taken = 0;
  while (taken < pieces.size() && text.Append(pieces[taken])) ++taken;
  EXPECT_EQ(text.Append("more"), taken == pieces.size());
  std::string out = text.text();
  if (taken == pieces.size()) out.resize(out.size() - 4);
  return {out, taken};
}

using Ends = std::pair<std::string, size_t>;

TEST(StoppedText, EndsBeforeTheStopThatStandsFirst) {
  // Whatever the order in which they are given, even inside one another.
  EXPECT_EQ(Stopped({"c", "b"}, {"abcd"}), Ends("a", 0));
  EXPECT_EQ(Stopped({"b", "c"}, {"abcd"}), Ends("a", 0));
  EXPECT_EQ(Stopped({"cd", "bcd", "d"}, {"ab", "cd"}), Ends("a", 1));
  // One that begins earlier but ends in a later piece comes too late.
  EXPECT_EQ(Stopped({"abc", "b"}, {"ab", "c"}), Ends("a", 0));
  EXPECT_EQ(Stopped({"b"}, {"abab"}), Ends("a", 0));
}

TEST(StoppedText, FindsAStopThatPiecesCut) {
  EXPECT_EQ(Stopped({"stop"}, {"a s", "t", "o", "p b"}), Ends("a ", 3));
  EXPECT_EQ(Stopped({"stop", "x"}, {"stos", "top"}), Ends("sto", 1));
  EXPECT_EQ(Stopped({"x", "stop"}, {"stos", "top"}), Ends("sto", 1));
  EXPECT_EQ(Stopped({"aab"}, {"a", "a", "a", "b"}), Ends("a", 3));
  EXPECT_EQ(Stopped({"stop"}, {"sto", "", "q"}), Ends("stoq", 3));
  EXPECT_EQ(Stopped({}, {"any", "thing"}), Ends("anything", 2));
  EXPECT_THROW(StoppedText({"a", ""}), Error);
}

// What is certain stands whatever follows, and all of it that is: what is not could begin a stop.
TEST(StoppedText, KnowsWhatNothingTakesBack) {
  for (uint64_t n = 0; n < 2000; ++n) {
    RandomSequence random(7, RandomStream::kTest, n);
    const auto word = [&](uint64_t least, uint64_t most) {
      std::string text;
      for (uint64_t i = least + random.Below(most - least + 1); i > 0; --i)
        text += static_cast<char>('a' + random.Below(3));
      return text;
    };
    std::vector<std::string> stops(random.Below(4));
    for (std::string& stop : stops) stop = word(1, 5);
    StoppedText text(stops);
    while (text.text().size() < 12 && text.Append(word(0, 3))) {
      size_t taken_back = text.text().size();
      for (const std::string& stop : stops) {
        for (size_t known = 1; known < stop.size(); ++known) {
          StoppedText goes_on = text;
          goes_on.Append(stop.substr(known));
          taken_back = std::min(taken_back, goes_on.text().size());
        }
      }
      EXPECT_EQ(text.certain(), taken_back) << n;
    }
    EXPECT_LE(text.certain(), text.text().size());
  }
  StoppedText ended({"b"});
  ended.Append("ab");
  EXPECT_EQ(ended.certain(), 1u);
}

// Against the definition: the whole text searched anew after each piece.
TEST(StoppedText, RandomTextsEndWhereTheWholeTextWouldShowIt) {
  int ended = 0;
  for (uint64_t n = 0; n < 5000; ++n) {
    RandomSequence random(6, RandomStream::kTest, n);
    const auto word = [&](uint64_t least, uint64_t most) {
      std::string text;
      for (uint64_t i = least + random.Below(most - least + 1); i > 0; --i)
        text += static_cast<char>('a' + random.Below(3));
      return text;
    };
    std::vector<std::string> stops(random.Below(4)), pieces(random.Below(12));
    for (std::string& stop : stops) stop = word(1, 5);
    for (std::string& piece : pieces) piece = word(0, 4);
    std::string text;
    size_t taken = 0, first = std::string::npos;
    for (; taken < pieces.size(); ++taken) {
      text += pieces[taken];
      for (const std::string& stop : stops) first = std::min(first, text.find(stop));
      if (first != std::string::npos) break;
    }
    ended += first != std::string::npos;
    EXPECT_EQ(Stopped(stops, pieces), Ends(text.substr(0, first), taken)) << n;
  }
  EXPECT_GT(ended, 1000);
  EXPECT_LT(ended, 4000);
}

TEST(StopTokens, AreTheEndMarkAndEveryStopThatIsAToken) {
  const Tokenizer tokenizer = SmallTokenizer();
  const int32_t mark = *tokenizer.TokenId("</s>");
  EXPECT_EQ(StopTokens(tokenizer, {mark}, {}), std::vector<int32_t>({mark}));
  EXPECT_EQ(StopTokens(tokenizer, {mark}, {"none", "ab", "<s>", "<tool>"}),
            std::vector<int32_t>({mark, *tokenizer.TokenId("ab"), *tokenizer.TokenId("<s>"),
                                  *tokenizer.TokenId("<tool>")}));
}

// Everything printed while `text` grows by `step` bytes at a time.
std::string Grown(const std::string& text, bool color, size_t step = 1) {
  SpokenText spoken(color);
  std::string out;
  for (size_t n = 0; n < text.size(); n += step) out += spoken.Next(text.substr(n, step));
  return out + spoken.End();
}

TEST(SpokenText, WithoutColourIsTheText) {
  const std::string text = "<think>\na < b, 3×4=12 \xf0\x9f\x99\x82</think>\n<answer>1</answer>";
  for (const size_t step : {1, 2, 5, 100}) EXPECT_EQ(Grown(text, false, step), text);
}

TEST(SpokenText, ThoughtsAreDimmedTagsIncluded) {
  for (const size_t step : {1, 2, 5, 100}) {
    EXPECT_EQ(Grown("a<think>b</think>c<thin", true, step),
              "a\x1b[2m<think>b</think>\x1b[0mc<thin");
    EXPECT_EQ(Grown("<think>never ends", true, step), "\x1b[2m<think>never ends\x1b[0m");
    EXPECT_EQ(Grown("<think>a</think><think>b</think>", true, step),
              "\x1b[2m<think>a</think>\x1b[0m\x1b[2m<think>b</think>\x1b[0m");
    // Only the tag that can come next is one.
    EXPECT_EQ(Grown("</think>a<think>b<think>", true, step),
              "</think>a\x1b[2m<think>b<think>\x1b[0m");
  }
}

TEST(SpokenText, AfterTheEndItBeginsAnew) {
  SpokenText spoken(true);
  EXPECT_EQ(spoken.Next("<think>a</thi"), "\x1b[2m<think>a");
  EXPECT_EQ(spoken.End(), "</thi\x1b[0m");
  EXPECT_EQ(spoken.Next("b</think><think>"), "b</think>\x1b[2m<think>");
  EXPECT_EQ(spoken.End(), "\x1b[0m");
  EXPECT_EQ(spoken.End(), "");
}

TEST(SpokenText, WaitsForWholeTags) {
  SpokenText spoken(true);
  EXPECT_EQ(spoken.Next("a<th"), "a");
  EXPECT_EQ(spoken.Next("x"), "<thx");
  EXPECT_EQ(spoken.Next("<think"), "");
  EXPECT_EQ(spoken.Next(">b<"), "\x1b[2m<think>b");
  EXPECT_EQ(spoken.Next("/think>"), "</think>\x1b[0m");
}

}  // namespace
}  // namespace darkhorse
