#include "kernel/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kernel/denormals.h"

namespace darkhorse {
namespace {

// The choice is made once in a process: each of these is one of its own.
class ChosenKernels : public testing::Test {
 protected:
  ChosenKernels() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// What a process with this environment says that it runs, or why it runs nothing.
[[noreturn]] void SayChosen(const char* wanted) {
  wanted == nullptr ? unsetenv("DARKHORSE_ISA") : setenv("DARKHORSE_ISA", wanted, 1);
  try {
    const KernelRow& chosen = Kernels();
    std::cerr << "runs " << chosen.name << "\n";
  } catch (const UsageError& error) {
    std::cerr << error.what() << "\n";
  }
  std::exit(0);
}

TEST_F(ChosenKernels, AreTheBestUnlessOthersAreNamed) {
  const auto rows = SupportedKernels();
  const std::string best = std::string("^runs ") + rows.back()->name + "\n$";
  EXPECT_EXIT(SayChosen(nullptr), testing::ExitedWithCode(0), best);
  EXPECT_EXIT(SayChosen(""), testing::ExitedWithCode(0), best);
  EXPECT_EXIT(SayChosen("scalar"), testing::ExitedWithCode(0), "^runs scalar\n$");
}

TEST_F(ChosenKernels, OnesThatAreNotThereAreRefusedWithThoseThatAre) {
  std::string names;
  for (const KernelRow* row : SupportedKernels()) names += std::string(", ") + row->name;
  EXPECT_EXIT(SayChosen("mmx"), testing::ExitedWithCode(0),
              "^DARKHORSE_ISA=mmx: no such instruction set on this CPU; choose one of " +
                  names.substr(2) + "\n$");
}

// The row is there where the instruction is the definition's, and nowhere else.
TEST(Kernels, MultiplyWithAvx512Bf16WhereItIsTwoLinksOfAChain) {
  const bool there = std::ranges::any_of(SupportedKernels(), [](const KernelRow* row) {
    return std::string_view(row->name) == "avx512bf16";
  });
  if (!__builtin_cpu_supports("avx512bf16")) {
    EXPECT_FALSE(there);
    GTEST_SKIP() << "this CPU has no AVX512_BF16";
  }
  const FlushDenormals flush;
  EXPECT_EQ(there, Avx512Bf16IsTwoLinks());
  if (!there) GTEST_SKIP() << "this CPU's AVX512_BF16 multiplies otherwise";
}

}  // namespace
}  // namespace darkhorse
