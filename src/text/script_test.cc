#include "text/script.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(Script, LettersAreCounted) {
  EXPECT_EQ(ScriptShare("abc", "latin"), 1);
  EXPECT_EQ(ScriptShare("abc", "han"), 0);
  EXPECT_EQ(ScriptShare("ab 中文", "han"), 0.5);
  EXPECT_EQ(ScriptShare("答案是 12 × 3 = 36。", "han"), 1);
  EXPECT_EQ(ScriptShare("naïve Straße", "latin"), 1);
  EXPECT_EQ(ScriptShare("мир да", "cyrillic"), 1);
  EXPECT_EQ(ScriptShare("かな 漢字", "kana"), 0.5);
}

TEST(Script, WhatIsNoWordCountsForNone) {
  EXPECT_EQ(ScriptShare("<think>中</think> \\boxed{\\frac{1}{2}} 文", "han"), 1);
  EXPECT_EQ(ScriptShare("中 <b", "han"), 0.5);
  EXPECT_EQ(ScriptShare("12 + 3", "han"), 1);
  EXPECT_EQ(ScriptShare("", "latin"), 1);
  EXPECT_EQ(ScriptShare("ab\xff 中", "latin"), 1);
}

TEST(Script, TimeIsLinear) {
  EXPECT_EQ(ScriptShare(std::string(1 << 20, '<') + std::string(1 << 20, '\\') + "a", "latin"), 1);
}

}  // namespace
}  // namespace darkhorse
