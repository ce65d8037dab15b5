#include "app/cut_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "base/file.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(CutFileDeathTest, IsNamedAndEndsTheProgram) {
  const ScratchDirectory scratch;
  const std::string path = scratch.Write("model.gguf", std::string(100'000, 'a'));
  const MappedFile file(path);
  const auto last = [&] { return static_cast<volatile const std::byte*>(&file.bytes().back()); };
  EXPECT_EXIT(
      {
        TellOfCutFiles();
        if (*last() != std::byte{'a'} || truncate(path.c_str(), 5000) != 0) _exit(2);
        (void)*last();
        _exit(3);
      },
      testing::ExitedWithCode(1), "darkhorse: error: /.*model.gguf: it was cut short");
}

// A fault that has nothing to do with files stays what it is.
TEST(CutFileDeathTest, OtherFaultsAreLeftAlone) {
  EXPECT_EXIT(
      {
        TellOfCutFiles();
        raise(SIGBUS);
        raise(SIGBUS);
      },
      testing::KilledBySignal(SIGBUS), "^$");
}

}  // namespace
}  // namespace darkhorse
