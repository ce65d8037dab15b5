#include "checkpoint/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/scratch_testing.h"
#include "checkpoint/gguf_testing.h"

namespace darkhorse {
namespace {

GgufContents Parse(const std::string& file, GgufExtent extent = GgufExtent::kWhole) {
  return ParseGguf(std::as_bytes(std::span(file)), "f", extent);
}
std::string Message(const std::string& file) {
  return MessageOf([&] { Parse(file); });
}
std::string Message(const GgufBuilder& builder) { return Message(builder.Build()); }

TEST(GgufTest, KeysAndTensorsOfBothVersions) {
  for (const uint32_t version : {2u, 3u}) {
    GgufBuilder builder;
    builder.version = version;
    builder.String("general.architecture", "llama").Int("n", 7);
    builder.Tensor("a", {2, 3}, {1, 2, 3, 4, 5, 6});
    builder.Tensor("b", {1, 32}, 8, std::string(34, '\1')).Tensor("c", {1}, {9});
    const std::string file = builder.Build();
    const GgufContents contents = Parse(file);
    EXPECT_EQ(contents.version, version);
    EXPECT_EQ(contents.keys.String("general.architecture"), "llama");
    ASSERT_EQ(contents.tensors.size(), 3u);
    EXPECT_EQ(contents.tensors[0].shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(contents.tensors[0].rows(), 2);
    EXPECT_EQ(contents.tensors[0].cols(), 3);
    EXPECT_EQ(std::memcmp(contents.tensors[0].bytes.data() + 20, "\0\0\xc0\x40", 4), 0);  // 6.0f
    EXPECT_EQ(contents.tensors[1].type->name, "Q8_0");
    EXPECT_EQ(contents.tensors[1].bytes.size(), 34u);
    EXPECT_EQ(contents.tensors[2].bytes.size(), 4u);
    // Of a file that is cut off, the head can be had.
    const GgufContents head = Parse(builder.Head(), GgufExtent::kHead);
    EXPECT_EQ(head.tensors[1].shape, (std::vector<int64_t>{1, 32}));
    EXPECT_TRUE(head.tensors[1].bytes.empty());
  }
}

TEST(GgufTest, NoPrefixIsAFile) {
  GgufBuilder builder;
  builder.Strings("s", {"a", "bc"}).Bool("b", true).Tensor("t", {2}, {1, 2});
  const std::string file = builder.Build();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(Message(file.substr(0, size)), "") << size;
  }
  EXPECT_EQ(Message(file), "");
  EXPECT_EQ(Message(file.substr(0, 60)),
            "f: ends inside key 's'; the file is cut short or corrupt, fetch it again");
}

TEST(GgufTest, WhatIsNoFileSaysSo) {
  GgufBuilder builder;
  EXPECT_EQ(Message("PK\3\4" + builder.Build().substr(4)),
            "f: does not begin with 'GGUF': it is no GGUF file; fetch it again");
  builder.version = 1;
  EXPECT_EQ(Message(builder),
            "f: is version 1 of GGUF, where 2 and 3 are read; convert the model again");
  builder.version = __builtin_bswap32(3);
  EXPECT_EQ(Message(builder), "f: is big-endian; fetch a little-endian copy or convert it again");
}

TEST(GgufTest, CountsAreHeldAgainstTheFileBeforeAnythingIsAllocated) {
  GgufBuilder builder;
  builder.Int("n", 7);
  builder.more_tensors = uint64_t{1} << 60;
  EXPECT_EQ(Message(builder),
            "f: claims 1152921504606846976 tensors, more than its 40 bytes can hold; the file is "
            "cut short or corrupt, fetch it again");
  builder.more_tensors = 0;
  builder.more_keys = uint64_t{1} << 60;
  EXPECT_EQ(Message(builder),
            "f: claims 1152921504606846977 keys, more than its 40 bytes can hold; the file is "
            "cut short or corrupt, fetch it again");
}

TEST(GgufTest, KeysThatCannotBe) {
  EXPECT_EQ(Message(GgufBuilder().Int("n", 1).Int("n", 1)),
            "f: key 'n' appears twice; the file is corrupt, fetch it again");
  EXPECT_EQ(Message(GgufBuilder().Key("n", static_cast<GgufKind>(13), uint64_t{0})),
            "f: key 'n' has the type 13, where 0 to 12 are known; the file is corrupt, fetch it "
            "again");
  EXPECT_EQ(Message(GgufBuilder().Key("n", GgufKind::kBool, uint8_t{2})),
            "f: key 'n' is 2, where a bool is 0 or 1; the file is corrupt, fetch it again");
  EXPECT_EQ(Message(GgufBuilder().Int("", 1)),
            "f: a key's name has 0 bytes, where 1 to 65535 are allowed; the file is corrupt, fetch "
            "it again");
  EXPECT_EQ(Message(GgufBuilder().Raw("s", GgufKind::kString, BytesOf(~uint64_t{0}) + "abc")),
            "f: ends inside key 's'; the file is cut short or corrupt, fetch it again");
  EXPECT_EQ(Message(GgufBuilder().Raw("a", GgufKind::kArray,
                                      BytesOf(GgufKind::kU32) + BytesOf(uint64_t{1} << 62))),
            "f: ends inside key 'a'; the file is cut short or corrupt, fetch it again");
  // Elements without a size of their own: an absurd count ends with the file.
  EXPECT_NE(Message(GgufBuilder().Raw("a", GgufKind::kArray,
                                      BytesOf(GgufKind::kBool) + BytesOf(uint64_t{1} << 62))),
            "");
  std::string nested = BytesOf(GgufKind::kU8) + BytesOf(uint64_t{1}) + "x";
  for (int depth = 1; depth <= 4; ++depth) {
    EXPECT_EQ(Message(GgufBuilder().Raw("a", GgufKind::kArray, nested)), "") << depth;
    nested = BytesOf(GgufKind::kArray) + BytesOf(uint64_t{1}) + nested;
  }
  EXPECT_EQ(Message(GgufBuilder().Raw("a", GgufKind::kArray, nested)),
            "f: key 'a' nests arrays deeper than 4 levels; the file is corrupt, fetch it again");
  for (const uint32_t alignment : {0u, 48u, 1u << 21}) {
    EXPECT_NE(Message(GgufBuilder().Int("general.alignment", alignment)), "") << alignment;
  }
}

TEST(GgufTest, TensorsThatCannotBe) {
  const auto message = [](const std::vector<int64_t>& shape, uint32_t type, uint64_t offset) {
    GgufBuilder builder;
    builder.Tensor("first", {8}, std::vector<float>(8));
    builder.TensorAt("t", shape, type, offset);
    builder.Tensor("last", {8}, std::vector<float>(8));
    return Message(builder);
  };
  EXPECT_EQ(message({8}, 0, 64),
            "f: tensor 't': its 32 bytes at offset 64 go beyond the end of the file; it is cut "
            "short, fetch it again");
  EXPECT_EQ(message({8}, 0, ~uint64_t{31}),
            "f: tensor 't': its 32 bytes at offset 18446744073709551584 go beyond the end of the "
            "file; it is cut short, fetch it again");
  EXPECT_EQ(message({8}, 0, 0),
            "f: tensor 't': overlaps the one before it; the file is corrupt, fetch it again");
  EXPECT_EQ(message({8}, 0, 36),
            "f: tensor 't': its offset 36 is no multiple of general.alignment 32; the file is "
            "corrupt, fetch it again");
  EXPECT_EQ(message({}, 0, 64),
            "f: tensor 't': has 0 extents, where 1 to 4 are allowed; the file is corrupt, fetch it "
            "again");
  EXPECT_EQ(message({1, 1, 1, 1, 1}, 0, 64),
            "f: tensor 't': has 5 extents, where 1 to 4 are allowed; the file is corrupt, fetch it "
            "again");
  EXPECT_EQ(
      message({3, 0}, 0, 64),
      "f: tensor 't': extent 0 is 0, which cannot be or overflows; the file is corrupt, fetch "
      "it again");
  EXPECT_EQ(message({int64_t{1} << 40, int64_t{1} << 40}, 0, 64),
            "f: tensor 't': extent 1 is 1099511627776, which cannot be or overflows; the file is "
            "corrupt, fetch it again");
  EXPECT_EQ(message({int64_t{1} << 62}, 0, 64),
            "f: tensor 't': shape [4611686018427387904] overflows; the file is corrupt, fetch it "
            "again");
  EXPECT_EQ(message({2, 48}, 2, 64),
            "f: tensor 't': its rows of 48 are no whole blocks of Q4_0, which hold 32; the file is "
            "corrupt, fetch it again");
  EXPECT_EQ(message({8}, 97, 64),
            "f: tensor 't': has ggml's type 97, which is not known; fetch the model in one of " +
                ReadableGgmlTypes());
  EXPECT_EQ(Message(GgufBuilder().Tensor("t", {1}, {1}).Tensor("t", {1}, {1})),
            "f: tensor 't' appears twice; the file is corrupt, fetch it again");
  EXPECT_NE(Message(GgufBuilder().Tensor("", {1}, {1})), "");
  EXPECT_NE(Message(GgufBuilder().Tensor(std::string(257, 'x'), {1}, {1})), "");
}

TEST(GgufTest, TensorsMayLieInAnyOrderAndFarApart) {
  GgufBuilder builder;
  builder.TensorAt("late", {1}, 0, 64);
  builder.Tensor("early", {1}, {1});
  const std::string file = builder.Build() + std::string(60, '\0') + BytesOf(2.0f);
  const GgufContents contents = Parse(file);
  EXPECT_EQ(std::memcmp(contents.tensors[0].bytes.data(), "\0\0\0\x40", 4), 0);
}

TEST(GgufTest, AlignmentIsTheFiles) {
  GgufBuilder builder;
  builder.alignment = 128;
  builder.Int("general.alignment", 128).Tensor("a", {1}, {1}).Tensor("b", {1}, {2});
  const std::string file = builder.Build();
  EXPECT_EQ(std::memcmp(Parse(file).tensors[1].bytes.data(), "\0\0\0\x40", 4), 0);
}

TEST(GgufTest, TensorsShareNoByte) {
  for (const uint64_t offset : {3u, 4u}) {
    GgufBuilder builder;
    builder.alignment = 1;
    builder.Int("general.alignment", 1).Tensor("a", {1}, {1}).TensorAt("b", {1}, 0, offset);
    EXPECT_EQ(Message(builder.Build() + "0123") == "", offset == 4);
  }
}

TEST(GgufKeysTest, AnyWidthOfIntegerIsAnInteger) {
  GgufBuilder builder;
  builder.Key("u8", GgufKind::kU8, uint8_t{200}).Key("i8", GgufKind::kI8, int8_t{-3});
  builder.Key("u16", GgufKind::kU16, uint16_t{60000}).Key("i16", GgufKind::kI16, int16_t{-300});
  builder.Key("u32", GgufKind::kU32, 4000000000u).Key("i32", GgufKind::kI32, -70000);
  builder.Key("u64", GgufKind::kU64, uint64_t{1} << 40)
      .Key("i64", GgufKind::kI64, -(int64_t{1} << 40));
  builder.Key("huge", GgufKind::kU64, ~uint64_t{0}).Number("f", 1).String("s", "text");
  builder.Key("d", GgufKind::kF64, 0.1)
      .Number("nan", NAN)
      .Number("eps", 1e-5f)
      .Bool("yes", true)
      .Ints("a", {1, -2});
  const std::string file = builder.Build();
  const GgufContents contents = Parse(file);
  const GgufKeys& keys = contents.keys;
  const auto integer = [&](const char* key) { return keys.Int(key, INT64_MIN, INT64_MAX); };
  EXPECT_EQ(integer("u8"), 200);
  EXPECT_EQ(integer("i8"), -3);
  EXPECT_EQ(integer("u16"), 60000);
  EXPECT_EQ(integer("i16"), -300);
  EXPECT_EQ(integer("u32"), 4000000000);
  EXPECT_EQ(integer("i32"), -70000);
  EXPECT_EQ(integer("u64"), int64_t{1} << 40);
  EXPECT_EQ(integer("i64"), -(int64_t{1} << 40));
  EXPECT_EQ(keys.FindInt("none", 0, 1), std::nullopt);
  const auto error = [&](const char* key) { return MessageOf([&] { keys.Int(key, 0, 100); }); };
  EXPECT_EQ(
      error("u8"),
      "f: key 'u8' is 200, where an integer from 0 to 100 is needed; convert the model again");
  EXPECT_EQ(error("i8"),
            "f: key 'i8' is -3, where an integer from 0 to 100 is needed; convert the model again");
  EXPECT_EQ(error("huge"),
            "f: key 'huge' is 18446744073709551615, where an integer from 0 to 100 is needed; "
            "convert the model again");
  EXPECT_NE(MessageOf([&] { integer("huge"); }), "");
  EXPECT_EQ(error("f"),
            "f: key 'f' is 1, where an integer from 0 to 100 is needed; convert the model again");
  EXPECT_EQ(error("yes"),
            "f: key 'yes' is true, where an integer from 0 to 100 is needed; convert "
            "the model again");
  EXPECT_EQ(
      error("a"),
      "f: key 'a' is an array of 2 i32, where an integer from 0 to 100 is needed; convert the "
      "model again");
  EXPECT_EQ(error("none"), "f: key 'none' is missing; convert the model again");

  EXPECT_EQ(keys.Number("d"), 0.1);
  EXPECT_EQ(keys.Number("f"), 1);
  EXPECT_EQ(keys.Number("eps"), 1e-5);
  EXPECT_EQ(keys.Number("i8"), -3);
  EXPECT_EQ(MessageOf([&] { keys.Number("nan"); }),
            "f: key 'nan' is nan, where a number is needed; convert the model again");
  EXPECT_EQ(MessageOf([&] { keys.Number("s"); }),
            "f: key 's' is 'text', where a number is needed; convert the model again");
  EXPECT_EQ(keys.FindBool("yes"), true);
  EXPECT_EQ(MessageOf([&] { keys.FindBool("u8"); }),
            "f: key 'u8' is 200, where true or false is needed; convert the model again");
  EXPECT_EQ(keys.String("s"), "text");
  EXPECT_EQ(MessageOf([&] { keys.String("u8"); }),
            "f: key 'u8' is 200, where a string is needed; convert the model again");
}

TEST(GgufKeysTest, Arrays) {
  const std::string inner = BytesOf(GgufKind::kU8) + BytesOf(uint64_t{2}) + "\1\2";
  GgufBuilder builder;
  builder.Strings("s", {"", "b\0c"}).Ints("i", {1, -2});
  builder.Raw("n", GgufKind::kArray,
              BytesOf(GgufKind::kArray) + BytesOf(uint64_t{2}) + inner +
                  BytesOf(GgufKind::kString) + BytesOf(uint64_t{1}) + GgufStringBytes("x"));
  const std::string file = builder.Build();
  const GgufContents contents = Parse(file);
  const GgufKeys& keys = contents.keys;
  EXPECT_EQ(keys.Strings("s"), (std::vector<std::string_view>{"", "b\0c"}));
  EXPECT_EQ(keys.Ints("i", -2, 1), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(MessageOf([&] { keys.Ints("i", 0, 1); }),
            "f: key 'i': element 1 is no integer from 0 to 1; convert the model again");
  EXPECT_EQ(MessageOf([&] { keys.Ints("s", 0, 1); }),
            "f: key 's' is an array of 2 string, where an array of integers is needed; convert the "
            "model again");
  EXPECT_EQ(MessageOf([&] { keys.Strings("i"); }),
            "f: key 'i' is an array of 2 i32, where an array of strings is needed; convert the "
            "model again");
  EXPECT_EQ(keys.FindStrings("none"), std::nullopt);
  const auto nested = keys.FindArrays("n");
  ASSERT_TRUE(nested);
  ASSERT_EQ(nested->size(), 2u);
  EXPECT_EQ((*nested)[0].element, GgufKind::kU8);
  EXPECT_EQ((*nested)[0].bytes.size(), 2u);
  EXPECT_EQ((*nested)[1].element, GgufKind::kString);
  EXPECT_EQ((*nested)[1].count, 1u);
}

std::string Part(int number, int count, const std::string& tensor, int64_t tensors = -1) {
  GgufBuilder builder;
  builder.Key("split.no", GgufKind::kU16, static_cast<uint16_t>(number));
  builder.Key("split.count", GgufKind::kU16, static_cast<uint16_t>(count));
  if (tensors >= 0)
    builder.Key("split.tensors.count", GgufKind::kI32, static_cast<int32_t>(tensors));
  if (number == 0) builder.String("general.name", "model");
  return builder.Tensor(tensor, {1}, {static_cast<float>(number)}).Build();
}

TEST(GgufFilesTest, PartsAreOneModel) {
  const ScratchDirectory dir;
  dir.Write("m-00001-of-00002.gguf", Part(0, 2, "a", 2));
  const std::string second = dir.Write("m-00002-of-00002.gguf", Part(1, 2, "b"));
  const GgufFiles files(second);
  EXPECT_EQ(files.path(), dir / "m-00001-of-00002.gguf");
  EXPECT_EQ(files.keys().String("general.name"), "model");
  ASSERT_EQ(files.entries().size(), 2u);
  EXPECT_EQ(files.Find("b")->file->path(), second);
  EXPECT_EQ(files.Find("c"), nullptr);
  EXPECT_EQ(files.size(), static_cast<int64_t>(Part(0, 2, "a", 2).size() + Part(1, 2, "b").size()));
}

TEST(GgufFilesTest, PartsThatDoNotBelongTogether) {
  const ScratchDirectory dir;
  const std::string first = dir.Write("m-00001-of-00002.gguf", Part(0, 2, "a", 3));
  const std::string other = dir / "m-00002-of-00002.gguf";
  const auto error = [&] { return MessageOf([&] { GgufFiles files(first); }); };
  EXPECT_EQ(error(),
            other + ": is missing, part 2 of 2 of the model; fetch it into the same folder");
  dir.Write("m-00002-of-00002.gguf", Part(1, 2, "a"));
  EXPECT_EQ(error(), other + ": tensor 'a' is in an earlier part too; fetch the parts again");
  dir.Write("m-00002-of-00002.gguf", Part(0, 2, "b"));
  EXPECT_NE(error().find("is part 1 of 2 by its keys"), std::string::npos);
  dir.Write("m-00002-of-00002.gguf", Part(1, 3, "b"));
  EXPECT_EQ(error(), other +
                         ": is part 2 of 3 by its keys split.no and split.count, 2 of 2 by its "
                         "name; name parts as they were published: NAME-00001-of-00003.gguf");
  dir.Write("m-00002-of-00002.gguf", Part(1, 2, "b"));
  EXPECT_EQ(error(), first +
                         ": split.tensors.count is 3, but its 2 parts hold 2 tensors; fetch the "
                         "parts again");
  const std::string renamed = dir.Write("first.gguf", Part(0, 2, "a"));
  EXPECT_EQ(MessageOf([&] { GgufFiles files(renamed); }),
            renamed +
                ": is part 1 of 2 by its keys split.no and split.count, 1 of 1 by its name; name "
                "parts as they were published: NAME-00001-of-00003.gguf");
}

TEST(GgufFilesTest, NamesOfParts) {
  EXPECT_EQ(GgufPartPaths("/x/m-00002-of-00002.gguf"),
            (std::vector<std::string>{"/x/m-00001-of-00002.gguf", "/x/m-00002-of-00002.gguf"}));
  for (const char* name :
       {"m.gguf", "m-00003-of-00002.gguf", "m-00000-of-00002.gguf", "m-0001-of-0002.gguf",
        "m-00001-of-00002.ggu", "m-0000x-of-00002.gguf", "-00001-of-00002.gguf"}) {
    EXPECT_EQ(GgufPartPaths(name), std::vector<std::string>{name});
  }
}

}  // namespace
}  // namespace darkhorse
