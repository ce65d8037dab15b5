#include "text/byte_alphabet.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(ByteAlphabet, EveryByteThereAndBack) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  EXPECT_EQ(UnspellBytes(SpellBytes(bytes)), bytes);
  EXPECT_EQ(SpellBytes(" \n"), "\xC4\xA0\xC4\x8A");
  EXPECT_EQ(UnspellBytes(" "), std::nullopt);
  EXPECT_EQ(UnspellBytes("\xEF\xBD\x9C"), std::nullopt);
}

}  // namespace
}  // namespace darkhorse
