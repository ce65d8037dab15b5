#include "data/corpus.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <tuple>

#include "base/compressed_testing.h"

namespace darkhorse {
namespace {

using Documents = std::vector<std::string>;

Documents ReadAll(CorpusReader* reader) {
  Documents documents;
  for (std::string document; reader->Next(&document);) documents.push_back(document);
  return documents;
}

Documents ReadAll(const std::string& path, const CorpusOptions& options = {}) {
  CorpusReader reader({path}, options);
  return ReadAll(&reader);
}

// Several times the buffer, and not a multiple of it.
std::string LongText() {
  std::string text;
  for (int i = 0; text.size() < 1'000'000; ++i) text += fmt::format("line {}\n", int64_t{i} * i);
  return text;
}

TEST(Corpus, TextFileIsOneDocumentInEveryCompression) {
  const ScratchDirectory folder;
  const std::string text = LongText();
  EXPECT_EQ(ReadAll(folder.Write("a.txt", text)), Documents{text});
  EXPECT_EQ(ReadAll(folder.Write("a.txt.gz", Gzip(text))), Documents{text});
  EXPECT_EQ(ReadAll(folder.Write("a.txt.zst", Zstd(text))), Documents{text});
}

TEST(Corpus, CompressedFilesMayHaveSeveralParts) {
  const ScratchDirectory folder;
  const std::string text = LongText();
  EXPECT_EQ(ReadAll(folder.Write("a.txt.gz", Gzip(text) + Gzip("more"))), Documents{text + "more"});
  EXPECT_EQ(ReadAll(folder.Write("a.txt.zst", Zstd(text) + Zstd("") + Zstd("more"))),
            Documents{text + "more"});
}

// As tar and tapes leave them.
TEST(Corpus, ZerosBetweenAndBehindGzipMembersAreNoText) {
  const ScratchDirectory folder;
  const std::string zeros(3'000'000, '\0');
  EXPECT_EQ(ReadAll(folder.Write("a.txt.gz", Gzip("one") + zeros + Gzip("two") + zeros)),
            Documents{"onetwo"});
  EXPECT_CONTAINS(MessageOf([&] { ReadAll(folder.Write("b.txt.gz", Gzip("one") + zeros + "x")); }),
                  "b.txt.gz");
}

TEST(Corpus, HighlyCompressedTextArrivesWhole) {
  const ScratchDirectory folder;
  const std::string text(5'000'000, 'a');
  EXPECT_EQ(ReadAll(folder.Write("a.txt.gz", Gzip(text))), Documents{text});
  EXPECT_EQ(ReadAll(folder.Write("a.txt.zst", Zstd(text))), Documents{text});
}

// The decoder then holds finished text back although all of the file is consumed.
TEST(Corpus, SourcesMayBeReadInSmallPieces) {
  const ScratchDirectory folder;
  const std::string text(100'000, 'a');
  for (const auto& [name, bytes] :
       {std::pair{"a.txt", text}, {"a.txt.gz", Gzip(text)}, {"a.txt.zst", Zstd(text)}}) {
    const auto source = OpenByteSource(folder.Write(name, bytes));
    std::string read;
    char piece[1000];
    while (const size_t count = source->Read(piece, sizeof piece)) read.append(piece, count);
    EXPECT_EQ(read, text) << name;
  }
}

TEST(Corpus, DamagedCompressionIsAnError) {
  const ScratchDirectory folder;
  const std::string text = LongText();
  for (const auto& [name, good] : {std::pair{"a.txt.gz", Gzip(text)}, {"a.txt.zst", Zstd(text)}}) {
    folder.Write(name, std::string_view(good).substr(0, good.size() - 10));
    EXPECT_CONTAINS(MessageOf([&] { ReadAll(folder / name); }), "truncated") << name;
    std::string flipped = good;
    flipped[good.size() / 2] ^= 0x55;
    folder.Write(name, flipped);
    // Without a content checksum zstd may not see a flip, but then gives other text, not a crash.
    if (std::string_view(name).ends_with(".gz")) {
      EXPECT_CONTAINS(MessageOf([&] { ReadAll(folder / name); }), name);
    } else if (MessageOf([&] { ReadAll(folder / name); }).empty()) {
      EXPECT_NE(ReadAll(folder / name), Documents{text});
    }
    folder.Write(name, text);
    EXPECT_CONTAINS(MessageOf([&] { ReadAll(folder / name); }), name);
    // Members may follow each other; what is none may not.
    folder.Write(name, good + good);
    EXPECT_EQ(ReadAll(folder / name), Documents{text + text});
    std::string second = good + good;
    second[good.size()] ^= 1;
    folder.Write(name, second);
    EXPECT_CONTAINS(MessageOf([&] { ReadAll(folder / name); }), name);
    folder.Write(name, "");
    EXPECT_CONTAINS(MessageOf([&] { ReadAll(folder / name); }), "truncated");
  }
}

TEST(Corpus, TextSplitAtSeparatorLines) {
  const ScratchDirectory folder;
  CorpusOptions options;
  options.split_text = true;
  const std::string path = folder.Write("a.txt", "\n\nfirst\nits second line\r\n\r\n\n\nsecond\n");
  EXPECT_EQ(ReadAll(path, options), (Documents{"first\nits second line", "second"}));
  const std::string unseen = folder.Write("c.txt", "one\n \ntwo\n\t \r\n\nthree");
  EXPECT_EQ(ReadAll(unseen, options), (Documents{"one", "two", "three"}));
  options.separator = "---";
  EXPECT_EQ(ReadAll(unseen, options), Documents{"one\n \ntwo\n\t \n\nthree"});
  const std::string dashes = folder.Write("b.txt", "one\n\nstill one\n---\n---\ntwo\n----");
  EXPECT_EQ(ReadAll(dashes, options), (Documents{"one\n\nstill one", "two\n----"}));
}

TEST(Corpus, ByteOrderMarkIsDropped) {
  const ScratchDirectory folder;
  EXPECT_EQ(ReadAll(folder.Write("a.txt", "\xEF\xBB\xBFtext")), Documents{"text"});
  CorpusOptions split;
  split.split_text = true;
  EXPECT_EQ(ReadAll(folder / "a.txt", split), Documents{"text"});
  EXPECT_EQ(ReadAll(folder.Write("a.jsonl", "\xEF\xBB\xBF{\"text\": \"x\"}")), Documents{"x"});
}

TEST(Corpus, JsonLinesField) {
  const ScratchDirectory folder;
  const std::string lines =
      "{\"id\": 7, \"text\": \"caf\\u00e9\\n\", \"meta\": {\"text\": \"not this\"}}\r\n"
      "\r\n"
      "{\"text\": \"\"}\n"
      "{\"meta\": [\"text\", {\"text\": null}], \"text\": \"two\"}";
  for (const auto& [name, bytes] :
       {std::pair{"a.jsonl", lines}, {"a.jsonl.gz", Gzip(lines)}, {"a.jsonl.zst", Zstd(lines)}}) {
    CorpusReader reader({folder.Write(name, bytes)}, {});
    EXPECT_EQ(ReadAll(&reader), (Documents{"café\n", "two"})) << name;
    EXPECT_EQ(reader.report().documents, 2);
    EXPECT_EQ(reader.report().text_bytes, 9);
    EXPECT_EQ(reader.report().empty, 1);
    EXPECT_EQ(reader.report().malformed, 0);
    EXPECT_EQ(reader.disk_bytes_read(), reader.disk_bytes());
  }
}

// What a progress bar shows: the files that are read and the place in the one that is open.
TEST(Corpus, BytesReadAddUpOverFiles) {
  const ScratchDirectory folder;
  const std::string line = "{\"text\": \"x\"}\n";
  const std::string packed = Gzip(line);
  CorpusReader reader({folder.Write("a.txt", "four"), folder.Write("b.jsonl", line),
                       folder.Write("c.jsonl.gz", packed), folder.Write("d.txt", "end")},
                      {});
  std::vector<int64_t> read = {reader.disk_bytes_read()};
  for (std::string document; reader.Next(&document);) read.push_back(reader.disk_bytes_read());
  const auto b = static_cast<int64_t>(4 + line.size());
  const auto c = b + static_cast<int64_t>(packed.size());
  EXPECT_EQ(read, (std::vector<int64_t>{0, 4, b, c, c + 3}));
  EXPECT_EQ(reader.disk_bytes_read(), c + 3);
  EXPECT_EQ(reader.disk_bytes(), c + 3);
}

TEST(Corpus, OfAFieldTwiceInALineTheLastCounts) {
  const ScratchDirectory folder;
  const auto read = [&](const char* line) { return ReadAll(folder.Write("a.jsonl", line)); };
  EXPECT_EQ(read(R"({"text": "first", "text": "last"})"), Documents{"last"});
  EXPECT_EQ(read(R"({"text": null, "text": "last"})"), Documents{"last"});
  EXPECT_EQ(read(R"({"text": "first", "text": null})"), Documents{});
}

// A carriage return is part of the end of a line; alone at the end of a file it is text.
TEST(Corpus, OnlyBeforeANewlineIsACarriageReturnNoText) {
  const ScratchDirectory folder;
  CorpusOptions options;
  options.split_text = true;
  EXPECT_EQ(ReadAll(folder.Write("a.txt", "a\r\r\nb\rc\r"), options), Documents{"a\r\nb\rc\r"});
}

TEST(Corpus, TemplateOverSeveralFields) {
  const ScratchDirectory folder;
  CorpusOptions options;
  options.format = "Q: {question}\\nA: {answer} {{{answer}}}\n";
  const std::string path = folder.Write("a.jsonl", R"({"answer": 1.50, "question": "x?"})");
  EXPECT_EQ(ReadAll(path, options), Documents{"Q: x?\nA: 1.50 {1.50}\n"});
  options.format = "{n}";
  for (const std::string number : {"-0", "1e20", "0.00001", "123456789012345678901234567890"}) {
    EXPECT_EQ(ReadAll(folder.Write("n.jsonl", "{\"n\": " + number + "}"), options),
              Documents{number});
  }
}

TEST(Corpus, ImpossibleTemplatesAreUsageErrors) {
  for (const char* bad : {"no field", "{open", "{}", "a}b{c}", "{a{b}}"}) {
    EXPECT_THROW(JsonTemplate::Parse(bad), UsageError) << bad;
  }
  EXPECT_CONTAINS(MessageOf([] { JsonTemplate::Parse("ab{text"); }), "brace at character 3 opens");
  EXPECT_CONTAINS(MessageOf([] { JsonTemplate::Parse("ab}"); }), "stray brace at character 3;");
  EXPECT_THROW(JsonTemplate::Field(""), UsageError);
}

TEST(Corpus, MalformedLinesAreCountedAndNamed) {
  const ScratchDirectory folder;
  const std::string good = "{\"text\": \"good\"}\n";
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"{\"text\": \"open", "not valid JSON at byte"},
      {"{\"other\": \"x\"}", "no field \"text\""},
      {"{\"text\": [\"x\"]}", "field \"text\" is an array"},
      {"{\"text\": {\"text\": \"x\"}}", "field \"text\" is an object"},
      {"{\"text\": null}", "field \"text\" is null"},
      {"{\"text\": true}", "field \"text\" is a truth value"},
      {"[\"text\", \"x\"]", "not a JSON object"},
      {"\"text\"", "not a JSON object"},
      {"7", "not a JSON object"},
      {"{\"text\": \"a\"} {\"text\": \"b\"}", "not valid JSON at byte"},
      {"{\"text\": \"\xFF\"}", "not valid JSON at byte"},
      {std::string("{\"text\": \"\0\"}", 13), "not valid JSON at byte"},
      {std::string(300000, '['), "not a JSON object"},
      {"{\"text\": " + std::string(300000, '['), "not valid JSON at byte"},
  };
  for (const auto& [line, why] : bad) {
    const std::string path = folder.Write("a.jsonl", good + line + "\n" + good);
    CorpusReader reader({path}, {});
    EXPECT_EQ(ReadAll(&reader), (Documents{"good", "good"})) << line.substr(0, 100);
    EXPECT_EQ(reader.report().malformed, 1);
    ASSERT_EQ(reader.report().first_malformed.size(), 1u);
    EXPECT_CONTAINS(reader.report().first_malformed[0], "a.jsonl:2: " + why);
    EXPECT_LT(reader.report().first_malformed[0].size(), path.size() + 300);
    CorpusOptions strict;
    strict.strict = true;
    EXPECT_CONTAINS(MessageOf([&] { ReadAll(path, strict); }), "a.jsonl:2: " + why);
  }
}

TEST(Corpus, OnlyTheFirstMalformedLinesAreNamed) {
  const ScratchDirectory folder;
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "broken\n";
  CorpusReader reader({folder.Write("a.jsonl", lines)}, {});
  EXPECT_TRUE(ReadAll(&reader).empty());
  EXPECT_EQ(reader.report().malformed, 100);
  const std::vector<std::string>& named = reader.report().first_malformed;
  ASSERT_EQ(named.size(), CorpusReport::kMaxNamed);
  for (size_t i = 0; i < named.size(); ++i)
    EXPECT_CONTAINS(named[i], fmt::format("a.jsonl:{}: ", i + 1));
  EXPECT_EQ(FirstSkipped(reader.report()), "; 100 were skipped, the first: " + named[0]);
  EXPECT_EQ(FirstSkipped({}), "");
}

TEST(Corpus, OverlongDocumentsAreSkippedOrNamed) {
  const ScratchDirectory folder;
  CorpusOptions options;
  options.max_document_bytes = 20;
  options.split_text = true;
  const std::string longer(1'000'000, 'x');
  const auto expect_named = [&](const std::string& path, const Documents& expected, int line) {
    CorpusReader reader({path}, options);
    EXPECT_EQ(ReadAll(&reader), expected);
    EXPECT_EQ(reader.report().malformed, 1);
    EXPECT_CONTAINS(reader.report().first_malformed.at(0),
                    fmt::format(":{}: longer than max_document_bytes = 20", line));
  };
  const std::string good = "{\"text\": \"good\"}\n";
  const std::string full = "{\"text\": \"12345678\"}\n";
  ASSERT_EQ(full.size(), 20 + 1u);  // the end of a line is none of its bytes
  EXPECT_EQ(ReadAll(folder.Write("full.jsonl", full), options), Documents{"12345678"});
  expect_named(folder.Write("a.jsonl", good + longer + "\n" + good), {"good", "good"}, 2);
  expect_named(folder.Write("a.txt", "good\n\n" + longer + "\nmore\n\ngood"), {"good", "good"}, 3);
  expect_named(folder.Write("b.txt", "good\n\n0123456789\n0123456789\n\ngood"), {"good", "good"},
               3);
  EXPECT_EQ(ReadAll(folder.Write("c.txt", "0123456789\n012345678"), options),
            Documents{"0123456789\n012345678"});
  options.split_text = false;
  EXPECT_EQ(ReadAll(folder.Write("d.txt", "01234567890123456789"), options),
            Documents{"01234567890123456789"});
  const std::string over = folder.Write("e.txt", "012345678901234567890");
  EXPECT_EQ(MessageOf([&] { ReadAll(over, options); }),
            over +
                ": longer than max_document_bytes = 20; raise it, or set split_text to cut the "
                "file at separator lines");
  options.strict = true;
  const std::string lines = folder.Write("f.jsonl", good + full.substr(0, 10) + full);
  EXPECT_EQ(MessageOf([&] { ReadAll(lines, options); }),
            lines +
                ":2: longer than max_document_bytes = 20; raise it (mend or remove the line; "
                "reading that is not strict skips it)");
}

TEST(Corpus, JsonFilesHoldAnArrayOrValuesInARow) {
  const ScratchDirectory folder;
  const std::string one = R"({"text": "one\n, ]}\"[{", "more": [{"text": "no"}]})";
  const std::vector<std::string> files = {
      "[\n  " + one + ",\n  {\n    \"text\": \"two\"\n  }\n]\n",
      "[" + one + ",{\"text\":\"two\"}]",
      one + "\n{\"text\": \"two\"}\n",
      one + "{\n\"text\"\n:\n\"two\"\n}",
      "\xEF\xBB\xBF[" + one + ", {\"text\": \"two\"}]",
  };
  const Documents expected = {"one\n, ]}\"[{", "two"};
  for (const std::string& text : files) {
    for (const auto& [name, bytes] :
         {std::pair{"a.json", text}, {"b.json.gz", Gzip(text)}, {"c.JSON.ZST", Zstd(text)}}) {
      CorpusReader reader({folder.Write(name, bytes)}, {});
      EXPECT_EQ(ReadAll(&reader), expected) << text;
      EXPECT_EQ(reader.report().malformed, 0) << text;
      EXPECT_EQ(reader.disk_bytes_read(), reader.disk_bytes());
    }
  }
  EXPECT_EQ(ReadAll(folder.Write("d.json", R"({"text": "only"})")), Documents{"only"});
  EXPECT_TRUE(ReadAll(folder.Write("e.json", "[]")).empty());
}

TEST(Corpus, WhatIsWrongInAJsonFileIsNamedByLine) {
  const ScratchDirectory folder;
  const std::string good = "{\"text\": \"good\"}";
  CorpusOptions options;
  options.max_document_bytes = 40;
  const auto padded = [](size_t bytes) {
    return "{\"text\":" + std::string(bytes - 15, ' ') + "\"good\"}";
  };
  const std::vector<std::tuple<std::string, std::string, size_t>> cases = {
      {"[" + good + ",\n7,\n" + good + "]", "a.json:2: not a JSON object", 2},
      {"[" + good + ",\n\n\"x], y\"," + good + "]", "a.json:3: not a JSON object", 2},
      {"[" + good + ",\n{\"text\": NaN}, " + good + "]", "a.json:2: not valid JSON at byte 10: NaN",
       2},
      {"[" + good + ",\n{\"text\": \"" + std::string(99, 'x') + "\"},\n" + good + "]",
       "a.json:2: longer than max_document_bytes", 2},
      {"[" + good + ",\n{\"text\": \"cut", "a.json:2: a bracket or quote is not closed", 1},
      {"[" + good + ",\n\"cut", "a.json:2: a bracket or quote is not closed", 1},
      {"[" + good + ",\n", "a.json:2: a bracket or quote is not closed", 1},
      {"[" + padded(40) + ",\n" + padded(41) + "]", "a.json:2: longer than max_document_bytes", 1},
      {"[" + good + "]\n}", "a.json:2: not valid JSON at byte 1", 1},
      {"word\n" + good, "a.json:1: not valid JSON at byte 1", 1},
      {good + ",\n" + good, "a.json:1: not valid JSON at byte 1", 2},  // no array, no commas
  };
  for (const auto& [text, why, documents] : cases) {
    CorpusReader reader({folder.Write("a.json", text)}, options);
    EXPECT_EQ(ReadAll(&reader), Documents(documents, "good")) << text;
    ASSERT_EQ(reader.report().malformed, 1) << text;
    EXPECT_CONTAINS(reader.report().first_malformed[0], why);
  }
}

// Longer than the buffer, so that values lie across its ends.
TEST(Corpus, LongJsonFilesArriveWhole) {
  const ScratchDirectory folder;
  std::string array = "[";
  Documents expected;
  for (int i = 0; i < 50'000; ++i) {
    expected.push_back(fmt::format("\"{}\" [", i));
    array += fmt::format("{}{{\"text\": \"\\\"{}\\\" [\"}}", i == 0 ? "" : ", ", i);
  }
  EXPECT_EQ(ReadAll(folder.Write("a.json", array + "]")), expected);
}

TEST(Corpus, WhatAFolderHoldsBesidesIsTold) {
  const ScratchDirectory folder;
  folder.Write("A.TXT", "a");
  folder.Write("b.JsonL.GZ", Gzip("{\"text\": \"b\"}"));
  folder.Write("c/notes.md", "x");
  folder.Write("d.csv.gz", "x");
  folder.Write(".hidden.md", "hidden");
  std::filesystem::create_directory_symlink(folder / "c", folder / "link");
  CorpusReader reader({folder.path()}, {});
  EXPECT_EQ(ReadAll(&reader), (Documents{"a", "b"}));
  const std::string named = ": not named .txt, .jsonl or .json (.gz or .zst may follow)";
  EXPECT_EQ(
      reader.report().left_out,
      (std::vector<std::string>{folder / "c/notes.md" + named, folder / "d.csv.gz" + named,
                                folder / "link" + ": a link to a folder, which is not followed"}));
  EXPECT_CONTAINS(
      MessageOf([&] { FindCorpusFiles({folder / "c"}); }),
      "c: no file in this folder is named .txt, .jsonl or .json (.gz or .zst may follow) "
      "(1 are not, as ");
}

TEST(Corpus, FilesThatHoldNothingAreTold) {
  const ScratchDirectory folder;
  folder.Write("a.txt", "a");
  folder.Write("b.txt", "");
  folder.Write("c.jsonl", "\n \n");
  folder.Write("d.jsonl", "{\"text\": \"\"}\n");  // counted as empty
  folder.Write("e.jsonl", "no\n");                // counted as malformed
  folder.Write("f.jsonl.gz", Gzip(""));
  CorpusReader reader({folder.path()}, {});
  EXPECT_EQ(ReadAll(&reader), (Documents{"a"}));
  EXPECT_EQ(reader.report().empty, 1);
  EXPECT_EQ(reader.report().malformed, 1);
  EXPECT_EQ(reader.report().hollow, (std::vector<std::string>{folder / "b.txt", folder / "c.jsonl",
                                                              folder / "f.jsonl.gz"}));
}

TEST(Corpus, Utf16IsRefusedWithTheCure) {
  const ScratchDirectory folder;
  using std::string_literals::operator""s;
  for (const std::string& text : {"\xFF\xFEt\0e\0"s, "\xFE\xFF\0t\0e"s, "t\0e\0x\0t\0"s}) {
    for (const char* name : {"a.txt", "a.jsonl", "a.json"}) {
      for (const bool split : {false, true}) {
        CorpusOptions options;
        options.split_text = split;
        EXPECT_CONTAINS(
            MessageOf([&] { ReadAll(folder.Write(name, text), options); }),
            std::string(name) + ": UTF-16 text, which is not read; convert it: iconv -f");
      }
    }
  }
}

TEST(Corpus, ChatsAreCalledChats) {
  const ScratchDirectory folder;
  const auto why = [&](const std::string& row, const std::string& field) {
    CorpusOptions options;
    options.field = field;
    CorpusReader reader({folder.Write("a.jsonl", row)}, options);
    EXPECT_TRUE(ReadAll(&reader).empty());
    return reader.report().first_malformed.at(0);
  };
  const std::string chat = R"({"messages": [{"role": "user", "content": "hi"}]})";
  EXPECT_CONTAINS(why(chat, "text"),
                  "no field \"text\", but \"messages\": a chat, not text; `finetune` reads");
  EXPECT_CONTAINS(why(chat, "messages"),
                  "field \"messages\" is a chat, not text; `finetune` reads");
  EXPECT_CONTAINS(why(R"({"conversations": []})", "text"), "but \"conversations\": a chat");
  EXPECT_FALSE(Contains(why(R"({"a": {"messages": []}})", "text"), "chat"));
  EXPECT_FALSE(Contains(why(R"({"messages": "text"})", "text"), "chat"));
}

TEST(Corpus, FoldersAreReadInOrderAtAnyDepth) {
  const ScratchDirectory folder;
  folder.Write("b.txt", "b");
  folder.Write("a/z.jsonl", "{\"text\": \"a/z\"}");
  folder.Write("a/deep/er/x.txt.gz", Gzip("a/deep/er/x"));
  folder.Write("c.md", "other kinds are left out");
  folder.Write(".hidden.txt", "hidden");
  folder.Write(".git/x.txt", "hidden");
  EXPECT_EQ(ReadAll(folder.path()), (Documents{"a/deep/er/x", "a/z", "b"}));
  CorpusReader reader({folder / "b.txt", folder / "a"}, {});
  EXPECT_EQ(ReadAll(&reader), (Documents{"b", "a/deep/er/x", "a/z"}));
  EXPECT_EQ(reader.report().files, 3);
}

TEST(Corpus, WrongPathsAreNamed) {
  const ScratchDirectory folder;
  EXPECT_CONTAINS(MessageOf([&] { FindCorpusFiles({folder / "none"}); }), "none: no such file");
  EXPECT_CONTAINS(MessageOf([&] { FindCorpusFiles({folder.path()}); }),
                  "no file in this folder is named .txt, .jsonl or .json");
  EXPECT_CONTAINS(MessageOf([&] { FindCorpusFiles({folder.Write("a.pdf", "x")}); }),
                  "a.pdf: not a");
  EXPECT_THROW(CorpusReader({}, {}), UsageError);
}

TEST(Corpus, ADocumentMustBeAllowedAByte) {
  const ScratchDirectory folder;
  const std::string path = folder.Write("a.txt", "x");
  CorpusOptions options;
  options.max_document_bytes = 1;
  EXPECT_EQ(ReadAll(path, options), Documents{"x"});
  for (const int64_t bytes : {0, -1}) {
    options.max_document_bytes = bytes;
    EXPECT_EQ(MessageOf([&] { ReadAll(path, options); }),
              fmt::format("max_document_bytes is {}; it must be at least 1", bytes));
  }
}

// To the letter: the file, and what is wrong with it.
TEST(Corpus, RefusalsAreSaidInFull) {
  const ScratchDirectory folder;
  const std::string gzip = Gzip("some text"), zstd = Zstd("some text");
  for (const auto& [name, bytes, says] :
       {std::tuple{"cut.txt.gz", gzip.substr(0, gzip.size() - 1),
                   "truncated gzip data; fetch or compress the file again"},
        {"cut.txt.zst", zstd.substr(0, zstd.size() - 1),
         "truncated zstd data; fetch or compress the file again"},
        {"no.txt.gz", std::string("text"),
         "no gzip data, or damaged (incorrect header check); fetch or compress the file again"},
        {"no.txt.zst", std::string("text"),
         "zstd data cannot be read (Unknown frame descriptor); fetch it again or compress it "
         "without --long"}}) {
    const std::string path = folder.Write(name, bytes);
    EXPECT_EQ(MessageOf([&] { ReadAll(path); }), path + ": " + says);
  }
  const std::string none = folder / "none.txt", pdf = folder.Write("docs/a.pdf", "x");
  EXPECT_EQ(MessageOf([&] { ReadAll(none); }),
            none + ": no such file or folder; check the path of the corpus");
  EXPECT_EQ(MessageOf([&] { OpenByteSource(none); }),
            none + ": cannot open: No such file or directory; check the path");
  EXPECT_EQ(MessageOf([&] { ReadAll(pdf); }),
            pdf + ": not a corpus file; name it .txt, .jsonl or .json (.gz or .zst may follow)");
  EXPECT_EQ(
      MessageOf([&] { ReadAll(folder / "docs"); }),
      folder / "docs" +
          ": no file in this folder is named .txt, .jsonl or .json (.gz or .zst may follow) (1 are "
          "not, as " +
          pdf + "); check the path");
}

TEST(Corpus, Gsm8kAsItIs) {
  const char* shared = std::getenv("DARKHORSE_SHARED");
  const std::string root = shared ? shared : std::string(DARKHORSE_SOURCE_DIR) + "/../shared";
  const std::string path = root + "/data/gsm8k/train.jsonl";
  if (!FileExists(path)) GTEST_SKIP() << path << " is not here";
  CorpusOptions options;
  options.format = "{question}\n{answer}";
  options.strict = true;
  CorpusReader reader({path}, options);
  EXPECT_EQ(ReadAll(&reader).size(), 7473u);
}

}  // namespace
}  // namespace darkhorse
