#include "base/format.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(Progress, Durations) {
  EXPECT_EQ(FormatDuration(0.4), "0:00");
  EXPECT_EQ(FormatDuration(59.6), "1:00");
  EXPECT_EQ(FormatDuration(3723), "1:02:03");
  EXPECT_EQ(FormatDuration(3 * 86400 + 4 * 3600 + 65), "3d 04:01:05");
}

TEST(Progress, CountsAndBytes) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(999.7), "1.00k");
  EXPECT_EQ(FormatCount(1234567), "1.23M");
  EXPECT_EQ(FormatCount(12345), "12.3k");
  EXPECT_EQ(FormatCount(123456), "123k");
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(1000), "1000 B");
  EXPECT_EQ(FormatBytes(1023.4 * 1024), "1023 KiB");
  EXPECT_EQ(FormatBytes(1023.6 * 1024), "1.00 MiB");
  EXPECT_EQ(FormatBytes(1.5 * 1024 * 1024 * 1024), "1.50 GiB");
}

TEST(Progress, OneIsNoPlural) {
  EXPECT_EQ(Counted(0, "token"), "0 tokens");
  EXPECT_EQ(Counted(1, "token"), "1 token");
  EXPECT_EQ(Counted(1000, "held-out problem"), "1000 held-out problems");
}

TEST(Progress, RateAndEta) {
  EXPECT_EQ(FormatProgress({25, 100, 5}, "steps"), "25 % · 25 of 100 steps · 5 steps/s · ETA 0:15");
  EXPECT_EQ(FormatProgress({100, 100, 5}, "steps"), "100 % · 100 of 100 steps · 20 steps/s");
  EXPECT_EQ(FormatProgress({2000, 0, 4}, "lines"), "2k lines · 500 lines/s");
  EXPECT_EQ(FormatProgress({0, 10, 0}, "steps"), "0 % · 0 of 10 steps");
}

}  // namespace
}  // namespace darkhorse
