#include "checkpoint/checksums.h"

#include <gtest/gtest.h>

#include <span>

#include "base/checksum.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

std::string SumOf(std::string_view text) {
  return HexU64(Checksum64(std::as_bytes(std::span(text))));
}

// To the letter: what was expected and what was found are numbers of the same kind.
TEST(ChecksumsTest, WhatDiffersIsSaidInFull) {
  const ScratchDirectory dir;
  dir.Write("config.json", "config");
  const std::string model = dir.Write("model.safetensors", "weights");
  WriteChecksums(dir.path());
  const auto verify = [&] {
    return MessageOf([&] { VerifyChecksums(dir.path(), Verify::kModel); });
  };
  EXPECT_EQ(verify(), "");
  const std::string cure =
      "; use an earlier checkpoint or a copy (if you edited the file on purpose, delete "
      "checksums.json)";
  WriteFileAtomically(model, "WEIGHTS");
  EXPECT_EQ(verify(), fmt::format("{}: damaged (expected 7 bytes, xxh64 {}; found 7 bytes, {}){}",
                                  model, SumOf("weights"), SumOf("WEIGHTS"), cure));
  for (const char* other : {"weight", "weights and more", ""}) {
    WriteFileAtomically(model, std::string_view(other));
    EXPECT_EQ(
        verify(),
        fmt::format("{}: truncated or replaced (expected 7 bytes, xxh64 {}; found {} bytes, "
                    "{}){}",
                    model, SumOf("weights"), std::string_view(other).size(), SumOf(other), cure));
  }
  std::filesystem::remove(model);
  EXPECT_EQ(verify(), model + ": is missing; use an earlier checkpoint or a copy");
}

TEST(ChecksumsTest, AListThatIsNoneIsRefused) {
  const ScratchDirectory dir;
  const std::string name = dir / "checksums.json";
  const auto verify = [&](const std::string& format, const std::string& files) {
    WriteFileAtomically(name, fmt::format(R"({{"format": "{}", "files": {}}})", format, files));
    return MessageOf([&] { VerifyChecksums(dir.path(), Verify::kModel); });
  };
  const std::string cure = "restore it, or delete it to go unverified";
  for (const auto& [format, files] :
       {std::pair{"darkhorse-checksums-2", "{}"}, {"darkhorse-checksums-1", "[]"}}) {
    EXPECT_EQ(verify(format, files),
              fmt::format("{}: not a 'darkhorse-checksums-1' file; {}", name, cure));
  }
  EXPECT_EQ(verify("darkhorse-checksums-1", "{}"),
            fmt::format("{}: does not list config.json; {}", name, cure));
  // Nothing outside of the directory, and nothing hidden in it.
  for (const auto& [file, entry] : {std::pair{"", "{}"},
                                    {"..", "{}"},
                                    {".hidden", "{}"},
                                    {"a/b", "{}"},
                                    {"/etc/passwd", "{}"},
                                    {"plain", "7"}}) {
    EXPECT_EQ(
        verify("darkhorse-checksums-1", fmt::format(R"({{"config.json": {{"size": 0, "xxh64": ""}},
                                      "model.safetensors": {{"size": 0, "xxh64": ""}},
                                      "{}": {}}})",
                                                    file, entry)),
        fmt::format("{}: bad entry '{}'; restore the file, or delete it to go unverified", name,
                    file));
  }
}

// Named by whichever part, a split file has one number, and each part counts.
TEST(CheckpointFingerprint, OfASplitFileIsThatOfAllItsParts) {
  const ScratchDirectory dir;
  const std::string first = dir.Write("m-00001-of-00002.gguf", "first");
  const std::string second = dir.Write("m-00002-of-00002.gguf", "second");
  const uint64_t before = CheckpointFingerprint(first);
  EXPECT_EQ(CheckpointFingerprint(second), before);
  WriteFileAtomically(second, std::string_view("SECOND"));
  EXPECT_NE(CheckpointFingerprint(first), before);
  EXPECT_EQ(CheckpointFingerprint(dir.Write("whole.gguf", "first")), Checksum64("first"));
}

}  // namespace
}  // namespace darkhorse
