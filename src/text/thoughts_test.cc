#include "text/thoughts.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

using Pair = std::pair<std::string, std::string>;

// The thought and the content of an answer that comes in pieces of `size` bytes.
Pair Split(const std::string& answer, bool inside, size_t size, ThoughtTags tags = {}) {
  ThoughtSplitter splitter(std::move(tags), inside);
  Pair all;
  const auto add = [&](const ThoughtSplitter::Piece& piece) {
    all.first += piece.thought;
    all.second += piece.content;
  };
  for (size_t at = 0; at < answer.size(); at += size) add(splitter.Next(answer.substr(at, size)));
  add(splitter.End());
  return all;
}

void ExpectSplit(const std::string& answer, bool inside, const Pair& expected) {
  for (size_t size = 1; size <= answer.size() + 1; ++size) {
    EXPECT_EQ(Split(answer, inside, size), expected) << answer << " in pieces of " << size;
  }
}

TEST(ThoughtSplitter, PromptOpenedTheThought) {
  ExpectSplit("\nTwo\n\nlines \n</think>\n\nFour. \n", true, {"Two\n\nlines", "Four. \n"});
  ExpectSplit("x</think>y", true, {"x", "y"});
  ExpectSplit("</think>y", true, {"", "y"});
  ExpectSplit("cut off </thi", true, {"cut off </thi", ""});
  ExpectSplit("cut off \n", true, {"cut off", ""});
  ExpectSplit("a </ b <think> c</think>d </think>", true, {"a </ b <think> c", "d </think>"});
}

TEST(ThoughtSplitter, ModelOpensTheThought) {
  ExpectSplit("<think>\nx\n</think>\n\ny", false, {"x", "y"});
  ExpectSplit("\n <think>x</think>y", false, {"x", "y"});
  ExpectSplit("y <think>x</think>", false, {"", "y <think>x</think>"});
  ExpectSplit("<thin", false, {"", "<thin"});
  ExpectSplit(" \n", false, {"", " \n"});
  ExpectSplit("  plain", false, {"", "  plain"});
  ExpectSplit("", false, {"", ""});
}

TEST(ThoughtSplitter, OtherTags) {
  const ThoughtTags tags{"[THINK]", "[/THINK]"};
  EXPECT_EQ(Split("[THINK]a[/THINK] b", false, 1, tags), (Pair{"a", "b"}));
}

MarkedText Marked(std::vector<std::pair<std::string, Origin>> pieces) {
  MarkedText text;
  for (const auto& [bytes, origin] : pieces) text.Append(bytes, origin);
  return text;
}

TEST(EndsInThought, AsTheTemplateLeavesIt) {
  constexpr Origin kTemplate = Origin::kTemplate, kInput = Origin::kInput;
  EXPECT_TRUE(EndsInThought(Marked({{"<A><think>\n", kTemplate}})));
  EXPECT_TRUE(EndsInThought(Marked({{"<think>a</think>b<A><think>", kTemplate}})));
  EXPECT_FALSE(EndsInThought(Marked({{"<A>", kTemplate}})));
  EXPECT_FALSE(EndsInThought(Marked({{"<A><think>\n\n</think>\n\n", kTemplate}})));
  EXPECT_FALSE(EndsInThought(Marked({{"<A></think>", kTemplate}})));
  // A system prompt that speaks of the tag; a user who types it, or the template's other half.
  EXPECT_FALSE(EndsInThought(Marked({{"Think in <think> tags.<A>", kTemplate}})));
  EXPECT_FALSE(EndsInThought(Marked({{"<U>", kTemplate}, {"<think>", kInput}})));
  EXPECT_FALSE(EndsInThought(Marked({{"<think", kInput}, {">", kTemplate}})));
  // A thought that is to be continued.
  const MarkedText begun = Marked({{"<A><think>\n", kTemplate}, {"One, two", kInput}});
  EXPECT_FALSE(EndsInThought(begun));
  EXPECT_TRUE(EndsInThought(begun, {}, /*continued=*/true));
  EXPECT_FALSE(EndsInThought(Marked({{"<think>", kTemplate}, {"One</think>", kInput}}), {}, true));
}

}  // namespace
}  // namespace darkhorse
