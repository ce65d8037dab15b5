#include "base/memory.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace darkhorse {
namespace {

TEST(Memory, RefusesWhatTheMachineCannotHold) {
  const auto held = static_cast<double>(PhysicalMemoryBytes());
  EXPECT_GT(held, 1 << 20);
  RequireMemory(held, "the model", "choose another");
  try {
    RequireMemory(3.0 * (int64_t{1} << 60), "the model", "choose another");
    ADD_FAILURE();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with("the model needs 3145728 TiB of memory, this machine has "))
        << message;
    EXPECT_TRUE(message.ends_with("; choose another")) << message;
  }
}

TEST(Memory, MayBeLessThanTheMachineS) {
  setenv("DARKHORSE_MEMORY", "1000", 1);
  EXPECT_EQ(PhysicalMemoryBytes(), 1000);
  setenv("DARKHORSE_MEMORY", "much", 1);
  EXPECT_GT(PhysicalMemoryBytes(), 1 << 20);
  unsetenv("DARKHORSE_MEMORY");
}

}  // namespace
}  // namespace darkhorse
