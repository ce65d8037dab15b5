#include "base/memory.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/format.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(Memory, RefusesWhatTheMachineCannotHold) {
  const auto held = static_cast<double>(PhysicalMemoryBytes());
  EXPECT_GT(held, 1 << 20);
  RequireMemory(held, "the model", "choose another");
  EXPECT_EQ(
      MessageOf([] { RequireMemory(3.0 * (int64_t{1} << 60), "the model", "choose another"); }),
      fmt::format("the model needs 3145728 TiB of memory, this machine has {}; choose another",
                  FormatBytes(held)));
}

// cgroup v2 writes "max" for no limit, v1 a number that no machine has.
TEST(Memory, IsTheLesserOfTheMachineSAndItsContainerS) {
  const ScratchDirectory dir;
  const int64_t machine = PhysicalMemoryBytes({});
  const std::string absent = dir / "absent", none = dir.Write("none", "max\n"),
                    v2 = dir.Write("v2", "2000000\n"), v1 = dir.Write("v1", "1000000\n"),
                    v1_none = dir.Write("v1_none", "9223372036854771712\n");
  EXPECT_EQ(PhysicalMemoryBytes({absent}), machine);
  EXPECT_EQ(PhysicalMemoryBytes({none}), machine);
  EXPECT_EQ(PhysicalMemoryBytes({v1_none}), machine);
  EXPECT_EQ(PhysicalMemoryBytes({v2, absent}), 2000000);
  EXPECT_EQ(PhysicalMemoryBytes({absent, v1}), 1000000);
  EXPECT_EQ(PhysicalMemoryBytes({none, v1}), 1000000);
  EXPECT_EQ(PhysicalMemoryBytes({v2, v1}), 1000000);
  EXPECT_LE(PhysicalMemoryBytes(), machine);
}

TEST(Memory, MayBeLessThanTheMachineS) {
  setenv("DARKHORSE_MEMORY", "1000", 1);
  EXPECT_EQ(PhysicalMemoryBytes(), 1000);
  setenv("DARKHORSE_MEMORY", "much", 1);
  EXPECT_GT(PhysicalMemoryBytes(), 1 << 20);
  unsetenv("DARKHORSE_MEMORY");
}

TEST(Memory, OfTheProcessGrowsWithWhatItTouches) {
  const int64_t before = ResidentMemoryBytes();
  EXPECT_GT(before, 0);
  const std::vector<char> touched(64 << 20, 1);
  EXPECT_GE(ResidentMemoryBytes(), before + (48 << 20)) << touched.size();
}

}  // namespace
}  // namespace darkhorse
