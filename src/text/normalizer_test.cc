#include "text/normalizer.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>

#include "base/random.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

struct Form {
  NormalForm form;
  int options;
};

constexpr Form kForms[] = {
    {NormalForm::kNfc, UTF8PROC_STABLE | UTF8PROC_COMPOSE},
    {NormalForm::kNfd, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
    {NormalForm::kNfkc, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
    {NormalForm::kNfkd, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};

std::string Ours(NormalForm form, const std::string& text) {
  std::string buffer;
  return std::string(Normalize({form}, text, &buffer));
}

// The slow definition.
std::string Theirs(int options, const std::string& text) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  std::string out;
  if (size >= 0) out.assign(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
  EXPECT_GE(size, 0);
  return out;
}

TEST(Normalizer, EveryCharacter) {
  for (char32_t c = 1; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, &text);
    for (const Form& form : kForms) {
      ASSERT_EQ(Ours(form.form, text), Theirs(form.options, text)) << static_cast<uint32_t>(c);
    }
  }
}

// Letters that compose, marks of many classes, Hangul's parts, compatibility characters, and
// others.
TEST(Normalizer, MixedText) {
  const std::string pieces[] = {
      "a",          "e",          "\u00e9", "\u0301",          "\u0323", "\u0327",
      "\u0345",     "\u05b0",     "\u0e38", "\u1e69",          "\u1100", "\u1161",
      "\u11a8",     "\uac00",     "\ufdfa", "\ufb01",          "\u212b", "\u0958",
      "\u20d0",     "\u3099",     "\u304b", std::string(1, 0), " ",      "\u4f60",
      "\U0001d15e", "\U0001f600", "\u0f71", "\u0f72"};
  for (uint64_t n = 0; n < 20'000; ++n) {
    RandomSequence random(13, RandomStream::kTest, n);
    std::string text;
    for (uint64_t i = 1 + random.Below(20); i > 0; --i) {
      text += pieces[random.Below(std::size(pieces))];
    }
    for (const Form& form : kForms) {
      ASSERT_EQ(Ours(form.form, text), Theirs(form.options, text)) << text;
    }
  }
}

// Exchanging neighbours takes quadratic time.
TEST(Normalizer, AMegabyteOfMarksIsSorted) {
  std::string below, above, mixed;
  for (int i = 0; i < 1 << 18; ++i) {
    above += "\u0301";  // class 230
    below += "\u0323";  // class 220
    mixed += "\u0301\u0323";
  }
  EXPECT_TRUE(Ours(NormalForm::kNfd, "q" + mixed) == "q" + below + above);
  EXPECT_TRUE(Ours(NormalForm::kNfc, "q" + mixed + "e\u0301") == "q" + below + above + "\u00e9");
}

}  // namespace
}  // namespace darkhorse
