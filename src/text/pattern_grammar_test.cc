#include "text/pattern_grammar.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "text/json_grammar.h"
#include "text/json_schema_testing.h"
#include "text/regex.h"
#include "text/string_formats.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

Documents OfPattern(const std::string& pattern) {
  return Documents(Json{{"type", "string"}, {"pattern", pattern}});
}

void ExpectTakes(const std::string& pattern, const std::vector<const char*>& right,
                 const std::vector<const char*>& wrong) {
  Documents documents = OfPattern(pattern);
  for (const char* text : right)
    EXPECT_TRUE(documents.Takes(JsonSpelling(text))) << pattern << ": " << text;
  for (const char* text : wrong)
    EXPECT_FALSE(documents.Takes(JsonSpelling(text))) << pattern << ": " << text;
}

TEST(PatternGrammar, ReadsWhatMatches) {
  ExpectTakes("^[A-Z]{2,3}-\\d+$", {"AB-1", "ABC-123"}, {"A-1", "ABCD-1", "AB-", "xAB-1", "AB-1 "});
  ExpectTakes("b", {"b", "abc", "bb"}, {"", "ac"});
  ExpectTakes("^a|b$", {"a", "ac", "cb"}, {"", "ca", "bc"});
  ExpectTakes("^(?:a|(?<name>bc)*)$", {"", "a", "bc", "bcbc"}, {"ab", "b"});
  ExpectTakes("^(a*)*b+?$", {"b", "aab", "aabbb"}, {"", "a"});
  ExpectTakes("^[^a-c\\d]$", {"d", "\xC3\xA9", "\xF0\x9F\x98\x80", "\n"}, {"a", "7", "", "dd"});
  ExpectTakes("^.$", {"\"", "\\", "\xE2\x82\xAC", "\t"}, {"\n", "\r", "\xE2\x80\xA8"});
  ExpectTakes("^\\u00e9\\x41\\u{1F600}\\ud83d\\ude00\\/\\.$",
              {"\xC3\xA9"
               "A\xF0\x9F\x98\x80\xF0\x9F\x98\x80/."},
              {"\xC3\xA9"
               "A\xF0\x9F\x98\x80\xF0\x9F\x98\x80//"});
  EXPECT_THROW(OfPattern("a[]"), Error);  // an empty class matches nothing
  ExpectTakes("^a{,2}]$", {"a{,2}]"}, {"a]"});
  ExpectTakes("", {"", "anything"}, {});
}

TEST(PatternGrammar, GroupsBesideEachOtherAreNotNested) {
  std::string many = "^";
  for (int i = 0; i < 300; ++i) many += "(a)";
  EXPECT_TRUE(OfPattern(many).Takes(JsonSpelling(std::string(300, 'a'))));
}

// In the one spelling that printers have.
TEST(PatternGrammar, SpellsAsJsonDoes) {
  Documents documents = OfPattern("^[^x]{2}$");
  for (const char* text : {"\"\\\\\\\"\"", "\"\\n\\t\"", "\"/a\""})
    EXPECT_TRUE(documents.Takes(text)) << text;
  for (const char* text :
       {"\"a\"\"", "\"\\a\"", "\"\\/a\"", "\"\\u0061a\"", "\"a\n\"", "\"a\\\"", "\"a\""})
    EXPECT_FALSE(documents.Takes(text)) << text;
}

TEST(PatternGrammar, LengthsHoldBesideIt) {
  Documents documents(R"({"pattern":"^(\\d|é)*$","minLength":2,"maxLength":3})");
  for (const char* text : {"12", "é2", "ééé"}) EXPECT_TRUE(documents.Takes(JsonSpelling(text)));
  for (const char* text : {"", "é", "1234", "éééé", "ab"})
    EXPECT_FALSE(documents.Takes(JsonSpelling(text))) << text;
}

// A pattern, and the same for PCRE2, whose '.', '^' and '$' mean something else.
struct Both {
  std::string ours, theirs;
  void Add(const std::string& text) {
    ours += text;
    theirs += text;
  }
};

void AddRandom(RandomSequence& random, int depth, Both* both) {
  const auto below = [&](int64_t n) { return random.Below(static_cast<uint64_t>(n)); };
  // PCRE2's classes are Unicode's.
  static const std::vector<std::pair<const char*, const char*>> atoms = {
      {"a", "a"},
      {"b", "b"},
      {"0", "0"},
      {"\\d", "[0-9]"},
      {"\\w", "[A-Za-z0-9_]"},
      {"[ab]", "[ab]"},
      {"[^a]", "[^a]"},
      {"[a-é]", "[a-é]"},
      {"[^€-😀]", "[^€-😀]"},
      {"\\\"", "\""},
      {"\\\\", "\\\\"},
      {"[\\n\"]", "[\\n\"]"},
      {"[\\D0]", "(?:[^0-9]|0)"},
      {"é", "é"},
      {"😀", "😀"},
      {".", "[^\\n\\r\\x{2028}\\x{2029}]"}};
  for (int parts = static_cast<int>(below(3)) + 1; parts > 0; --parts) {
    if (depth == 0 || below(6) < 4) {
      const auto& [ours, theirs] = atoms[below(static_cast<int64_t>(atoms.size()))];
      both->ours += ours;
      both->theirs += theirs;
    } else {
      both->Add("(");
      AddRandom(random, depth - 1, both);
      for (uint64_t more = below(3); more > 0; --more) {
        both->Add("|");
        AddRandom(random, depth - 1, both);
      }
      both->Add(")");
    }
    static const std::vector<const char*> repeats = {"", "", "*", "+", "?", "{2}", "{1,2}", "{0,}"};
    both->Add(repeats[below(static_cast<int64_t>(repeats.size()))]);
  }
}

TEST(PatternGrammar, TakesWhatPcreFindsAMatchIn) {
  RandomSequence random(3, RandomStream::kTest, 0);
  static const std::vector<std::string> signs = {"a",  "b", "0", "1", "\"", "\\",
                                                 "\n", "é", "€", "😀", "z",  "\t"};
  int taken = 0, refused = 0;
  for (int round = 0; round < 300; ++round) {
    Both both;
    for (uint64_t way = random.Below(2) + 1; way > 0; --way) {
      const uint64_t anchors = random.Below(4);
      if ((anchors & 1) != 0) {
        both.ours += "^";
        both.theirs += "\\A";
      }
      AddRandom(random, 2, &both);
      if ((anchors & 2) != 0) {
        both.ours += "$";
        both.theirs += "\\z";
      }
      if (way > 1) both.Add("|");
    }
    const Regex oracle(both.theirs, "test");
    Documents documents = OfPattern(both.ours);
    for (int i = 0; i < 60; ++i) {
      std::string text;
      for (uint64_t length = random.Below(6); length > 0; --length)
        text += signs[random.Below(signs.size())];
      TextRange match;
      const bool matches = oracle.Search(text, 0, /*newer=*/false, &match);
      ASSERT_EQ(documents.Takes(JsonSpelling(text)), matches) << both.ours << " on " << text;
      ++(matches ? taken : refused);
    }
  }
  EXPECT_GT(taken, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(PatternGrammar, WhatIsNotSupportedIsRefusedByPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"(a)\\1", "has a back reference at character 5, which is not supported"},
      {"a(?=b)", "has a look-around at character 4, which is not supported"},
      {"a(?<!b)", "has a look-around at character 5, which is not supported"},
      {"a^b", "has a '^' elsewhere than at the beginning at character 2, which is not supported"},
      {"(a$)b", "has a '$' elsewhere than at the end at character 3, which is not supported"},
      {"\\p{L}", "has '\\p' at character 2, which is not supported"},
      {"\\bword", "has '\\b' at character 2, which is not supported"},
      {"a**", "has a repetition of a repetition at character 3, which is not supported"},
      {"*", "has a repetition of nothing at character 1, which is not supported"},
      {"(a", "has no ')' to a '(' at character 3, which is not supported"},
      {"a)", "has a ')' without a '(' at character 2, which is not supported"},
      {"[a", "has no ']' to a '[' at character 3, which is not supported"},
      {"[b-a]", "has a range that is none at character 5, which is not supported"},
      {"[\\d-z]", "has a range that is none at character 6, which is not supported"},
      {"a{2,1}",
       "has fewer repetitions at most than at least at character 7, which is not supported"},
      {"a{1001}", "has over 1000 repetitions at character 7, which is not supported"},
      {"\\", "has a '\\' at the end at character 2, which is not supported"},
      {"\\u12", "has an escape without its digits at character 5, which is not supported"},
      {"\\ud800", "has half a surrogate pair at character 7, which is not supported"},
      {"((a{1000}){1000}){1000}", "is too large; let it repeat less"}};
  for (const auto& [pattern, why] : cases) {
    const std::string schema = Json{{"pattern", pattern}}.dump();
    EXPECT_EQ(Documents::Refusal(schema.c_str()), std::string("schema at #: 'pattern' ") + why);
  }
  EXPECT_NE(Documents::Refusal((R"({"pattern":")" + std::string(300, '(') + R"("})").c_str()),
            "taken");
}

TEST(StringFormats, TakeWhatIsOfThem) {
  struct Case {
    const char* format;
    std::vector<const char*> right, wrong;
  };
  const std::vector<Case> cases = {
      {"date",
       {"2024-02-29", "2000-02-29", "2023-12-31", "0096-02-29"},
       {"2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "23-01-01",
        "2023-1-1"}},
      {"time",
       {"00:00:00Z", "23:59:59.123+05:30"},
       {"24:00:00Z", "12:60:00Z", "12:00:00", "1:00:00Z"}},
      {"date-time", {"2024-02-29T23:59:59Z"}, {"2024-02-29 23:59:59Z", "2024-02-30T00:00:00Z"}},
      {"duration",
       {"P1W", "P1Y2M3D", "PT1H", "P1DT1H2M3S", "PT5S"},
       {"P", "PT", "P1", "1D", "P1S", "P1Y2D", "P1YT"}},
      {"email", {"a.b+c@ex-ample.org"}, {"a@", "@b", "a b@c.d", ".a@b.c", "a@-b.c"}},
      {"hostname", {"a", "a-b.example.org"}, {"-a", "a-", "a..b", "a_b", ""}},
      {"ipv4", {"0.0.0.0", "255.249.199.99"}, {"256.0.0.0", "1.2.3", "01.2.3.4", "1.2.3.4.5"}},
      {"ipv6", {"0:1:2:3:a:B:ffff:7"}, {"0:1:2:3:4:5:6", "0:1:2:3:4:5:6:g", "00000:1:2:3:4:5:6:7"}},
      {"uuid", {"123e4567-e89b-12d3-a456-426614174000"}, {"123e4567e89b12d3a456426614174000", "x"}},
      {"uri",
       {"https://example.org", "http://a.b:80/c/%20d?e=f&g"},
       {"example.org", "http:/a", "http://a b", "http://a/%2"}}};
  ASSERT_EQ(cases.size(), StringFormats().size());
  for (const Case& one : cases) {
    Documents documents(Json{{"type", "string"}, {"format", one.format}});
    for (const char* text : one.right)
      EXPECT_TRUE(documents.Takes(JsonSpelling(text))) << one.format << ": " << text;
    for (const char* text : one.wrong)
      EXPECT_FALSE(documents.Takes(JsonSpelling(text))) << one.format << ": " << text;
  }
  EXPECT_EQ(Documents::Refusal(R"({"format":"iri"})"),
            "schema at #: 'format' is 'iri', which is not supported; leave it out, or take one of "
            "date-time, date, time, duration, email, hostname, ipv4, ipv6, uuid, uri");
  EXPECT_EQ(Documents::Refusal(R"({"format":"date","pattern":"x"})"),
            "schema at #: 'format' beside 'pattern' is not supported; leave it out");
  EXPECT_EQ(Documents::Refusal(R"({"pattern":1})"), "schema at #: 'pattern' must be a string");
}

}  // namespace
}  // namespace darkhorse
