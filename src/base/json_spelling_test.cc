#include "base/json_spelling.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace darkhorse {
namespace {

TEST(JsonSpelling, CompactTextIsAsItWasWrittenButForWhiteSpace) {
  EXPECT_EQ(CompactJson(" {\"a b\" :\t[1.50 ,-0, 1E+02],\r\n\"c\": \" \\\" \\\\\" } "),
            "{\"a b\":[1.50,-0,1E+02],\"c\":\" \\\" \\\\\"}");
  EXPECT_EQ(CompactJson("\xEF\xBB\xBF{}"), "{}");
  EXPECT_EQ(CompactJson(" 00 "), "00");  // it does not judge
}

TEST(JsonSpelling, MembersKeepTheirOrderAndSpelling) {
  const std::string text =
      R"( { "z": 1000000000000000.0, "\u0061\"": "x,}\"\u00fc", "n": [ {"k": [0.00001]}, "]" ],)"
      R"("big":123456789012345678901234567890,"":null} )";
  const std::vector<JsonMember> members = JsonMembers(text);
  ASSERT_EQ(members.size(), 5u);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"z", "1000000000000000.0"},
      {"a\"", R"("x,}\"\u00fc")"},
      {"n", R"([{"k":[0.00001]},"]"])"},
      {"big", "123456789012345678901234567890"},
      {"", "null"}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(members[i].key, expected[i].first);
    EXPECT_EQ(members[i].value, expected[i].second);
  }
  // Nothing but the spelling of keys and white space has changed.
  EXPECT_EQ(nlohmann::json::parse(JsonObjectOf(members)), nlohmann::json::parse(text));
  EXPECT_TRUE(JsonMembers(" { } ").empty());
  EXPECT_EQ(JsonObjectOf({}), "{}");
}

}  // namespace
}  // namespace darkhorse
