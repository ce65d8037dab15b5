#include "model/part_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace darkhorse {
namespace {

void Sleep(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

// A sleep takes at least its time, so what a part is charged has a lower bound; all parts together
// are charged no more than went by, which bounds them from above.
TEST(PartClock, ChargesTheInnermostPart) {
  PartClock clock;
  const double begin = SteadySeconds();
  {
    const PartTimer outer(&clock, Part::kExperts);
    Sleep(3);
    {
      const PartTimer inner(&clock, Part::kRouter);
      Sleep(20);
    }
    Sleep(4);
  }
  Sleep(15);  // nobody's
  {
    const PartTimer again(&clock, Part::kExperts);
    Sleep(5);
  }
  const double gone = SteadySeconds() - begin;
  EXPECT_GE(clock.seconds(Part::kExperts), 0.012);
  EXPECT_GE(clock.seconds(Part::kRouter), 0.020);
  EXPECT_LE(clock.seconds(Part::kExperts) + clock.seconds(Part::kRouter), gone - 0.015);
  EXPECT_EQ(clock.seconds(Part::kHead), 0);
}

TEST(PartClock, NullIsNoClock) { const PartTimer timer(nullptr, Part::kHead); }

}  // namespace
}  // namespace darkhorse
