#include "data/prepare.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "base/compressed_testing.h"
#include "base/parallel.h"
#include "data/shard.h"

namespace darkhorse {
namespace {

constexpr char kEos[] = "<|end|>";
constexpr char kBos[] = "<|begin|>";

const Tokenizer& TestTokenizer() {
  static const Tokenizer tokenizer = TrainTokenizer(
      std::vector<std::string>{"the quick brown fox jumps over the lazy dog, the fox, the dog"},
      {.vocab_size = 280, .special_tokens = {kBos, kEos}, .pattern = ""});
  return tokenizer;
}

std::string DocumentText(uint64_t index) {
  std::string text = fmt::format("document {}: the quick fox", index);
  for (uint64_t i = 0; i < index % 17; ++i) text += ", the lazy dog";
  return text;
}

bool MakeDocument(uint64_t index, std::string* document) {
  *document = DocumentText(index);
  return index < 10'000;
}

PrepareOptions Options() {
  PrepareOptions options;
  options.eos_token = kEos;
  options.validation_fraction = 0.1;
  return options;
}

std::vector<std::string> Texts(const std::string& shard_path) {
  const TokenShard shard = TokenShard::Open(shard_path, TestTokenizer().hash());
  std::vector<std::string> texts;
  for (int64_t d = 0; d < shard.documents(); ++d) {
    const int64_t begin = shard.DocumentBegin(d);
    std::vector<int32_t> tokens(shard.DocumentBegin(d + 1) - begin);
    shard.Copy(begin, static_cast<int64_t>(tokens.size()), tokens.data());
    texts.push_back(TestTokenizer().Decode(tokens));
  }
  return texts;
}

TEST(Prepare, SameBytesForEveryThreadCount) {
  const int threads = NumThreads();
  const ScratchDirectory folder;
  for (const int count : {1, 2, 7}) {
    SetNumThreads(count);
    PrepareGenerated(MakeDocument, 0, TestTokenizer(), Options(), folder / std::to_string(count));
  }
  SetNumThreads(threads);
  for (const char* name : {"/train.bin", "/val.bin", "/tokenizer.json"}) {
    const std::string one = ReadFile(folder / "1" + name);
    EXPECT_EQ(one, ReadFile(folder / "2" + name)) << name;
    EXPECT_EQ(one, ReadFile(folder / "7" + name)) << name;
  }
}

TEST(Prepare, EveryDocumentComesOnceInOrderOnOneSide) {
  const ScratchDirectory folder;
  const PrepareStatistics statistics =
      PrepareGenerated(MakeDocument, 5'000, TestTokenizer(), Options(), folder / "out");
  std::vector<std::string> train, validation;
  int64_t bytes = 0;
  for (uint64_t i = 0; i < 5'000; ++i) {
    const std::string text = DocumentText(i);
    (IsValidation(text, Options()) ? validation : train).push_back(text + kEos);
    bytes += static_cast<int64_t>(text.size());
  }
  EXPECT_EQ(Texts(folder / "out/train.bin"), train);
  EXPECT_EQ(Texts(folder / "out/val.bin"), validation);
  // Binomial: five standard deviations of sqrt(5000 0.1 0.9) = 21.
  EXPECT_NEAR(static_cast<double>(validation.size()), 500, 106);
  EXPECT_EQ(statistics.documents, 5'000);
  EXPECT_EQ(statistics.text_bytes, bytes);
  EXPECT_EQ(statistics.train_documents, static_cast<int64_t>(train.size()));
  EXPECT_EQ(statistics.validation_documents, static_cast<int64_t>(validation.size()));
  const TokenShard shard = TokenShard::Open(folder / "out/train.bin");
  EXPECT_EQ(statistics.train_tokens, shard.tokens());
  EXPECT_EQ(shard.info().eos_id, *TestTokenizer().TokenId(kEos));
  EXPECT_EQ(shard.info().bos_id, -1);
}

TEST(Prepare, SplitOfADocumentDependsOnItsTextAndTheSeedAlone) {
  PrepareOptions options = Options();
  std::set<uint64_t> held_out;
  for (uint64_t i = 0; i < 2'000; ++i) {
    if (IsValidation(DocumentText(i), options)) held_out.insert(i);
  }
  // A larger fraction holds out the same and more.
  options.validation_fraction = 0.3;
  for (const uint64_t i : held_out) EXPECT_TRUE(IsValidation(DocumentText(i), options));
  options = Options();
  options.split_seed = 1;
  size_t common = 0;
  for (const uint64_t i : held_out) common += IsValidation(DocumentText(i), options);
  EXPECT_LT(common, held_out.size() / 2);
  // A known answer: the split is part of what a prepared folder means, and must not move.
  EXPECT_EQ(std::vector(held_out.begin(), std::next(held_out.begin(), 4)),
            (std::vector<uint64_t>{1, 5, 11, 13}));
}

TEST(Prepare, FilesGiveWhatTheirDocumentsGive) {
  const ScratchDirectory folder;
  std::string lines, text;
  for (uint64_t i = 0; i < 500; ++i) {
    lines += fmt::format("{{\"text\": \"{}\"}}\n", DocumentText(i));
    if (i == 250) lines += "broken\n\n";
  }
  folder.Write("in/a.jsonl.zst", Zstd(lines));
  std::vector<PrepareProgress> reports;
  const PrepareStatistics statistics =
      PrepareFiles({folder / "in"}, {}, TestTokenizer(), Options(), folder / "files",
                   [&](const PrepareProgress& report) { reports.push_back(report); });
  PrepareGenerated(MakeDocument, 500, TestTokenizer(), Options(), folder / "generated");
  EXPECT_EQ(ReadFile(folder / "files/train.bin"), ReadFile(folder / "generated/train.bin"));
  EXPECT_EQ(ReadFile(folder / "files/val.bin"), ReadFile(folder / "generated/val.bin"));
  EXPECT_EQ(statistics.corpus.malformed, 1);
  EXPECT_EQ(statistics.corpus.files, 1);
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.back().documents, 500);
  EXPECT_EQ(reports.back().tokens, statistics.train_tokens + statistics.validation_tokens);
  EXPECT_EQ(reports.back().fraction, 1.0);
  EXPECT_EQ(reports.back().eta_seconds, 0.0);
}

// Batches are of 4096 documents: the first of two is half of the bytes, give or take what is read
// ahead.
TEST(Prepare, ProgressOfFilesIsInTheirBytes) {
  const ScratchDirectory folder;
  std::string lines;
  for (int64_t i = 0; i < 8192; ++i)
    lines += fmt::format("{{\"text\": \"{}\"}}\n", DocumentText(i) + std::string(200, 'x'));
  folder.Write("in/a.jsonl", lines);
  std::vector<PrepareProgress> reports;
  PrepareFiles({folder / "in"}, {}, TestTokenizer(), Options(), folder / "out",
               [&](const PrepareProgress& report) { reports.push_back(report); });
  ASSERT_GE(reports.size(), 2u);
  EXPECT_GT(reports[0].fraction, 0.4);
  EXPECT_LT(reports[0].fraction, 0.8);
  EXPECT_EQ(reports.back().fraction, 1);
}

// Batches are of 4096 documents.
TEST(Prepare, ProgressIsWhatIsDoneAndWhatIsLeft) {
  const ScratchDirectory folder;
  const auto reports = [&](int64_t documents, int64_t max_tokens) {
    PrepareOptions options = Options();
    options.max_tokens = max_tokens;
    std::vector<PrepareProgress> all;
    PrepareGenerated(MakeDocument, documents, TestTokenizer(), options, folder / "out",
                     [&](const PrepareProgress& report) { all.push_back(report); });
    for (const PrepareProgress& report : all) {
      EXPECT_GT(report.seconds, 0);
      EXPECT_DOUBLE_EQ(report.tokens_per_second,
                       static_cast<double>(report.tokens) / report.seconds);
      // As much is left in time as in work.
      if (report.fraction == 0) {
        EXPECT_EQ(report.eta_seconds, -1);
      } else {
        EXPECT_NEAR(report.seconds / (report.seconds + report.eta_seconds), report.fraction, 1e-9);
      }
    }
    return all;
  };
  std::vector<PrepareProgress> all = reports(8'192, 0);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].documents, 4'096);
  EXPECT_EQ(all[0].fraction, 0.5);
  EXPECT_EQ(all[1].documents, 8'192);
  EXPECT_EQ(all[1].fraction, 1);
  EXPECT_GT(all[1].text_bytes, all[0].text_bytes);
  const int64_t tokens = all[1].tokens;
  // Until the maker ends nothing is known of the whole.
  all = reports(0, 0);
  ASSERT_EQ(all.size(), 3u);
  for (const PrepareProgress& report : all) EXPECT_EQ(report.fraction, 0);
  // Of two limits the nearer counts.
  all = reports(8'192, 100 * tokens);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].fraction, 0.5);
  all = reports(8'192, tokens * 5 / 8);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_GT(all[0].fraction, 0.6);
  EXPECT_LT(all[0].fraction, 1);
  EXPECT_EQ(all[1].fraction, 1);
}

// Of the statistics, what no other test compares.
TEST(Prepare, LongestDocumentAndValidationTokensAreCounted) {
  const ScratchDirectory folder;
  const PrepareStatistics statistics =
      PrepareGenerated(MakeDocument, 200, TestTokenizer(), Options(), folder / "out");
  int64_t longest = 0;
  for (const char* name : {"out/train.bin", "out/val.bin"}) {
    const TokenShard shard = TokenShard::Open(folder / name);
    for (int64_t d = 0; d < shard.documents(); ++d)
      longest = std::max(longest, shard.DocumentBegin(d + 1) - shard.DocumentBegin(d));
  }
  EXPECT_EQ(statistics.longest_document, longest);
  EXPECT_EQ(statistics.validation_tokens, TokenShard::Open(folder / "out/val.bin").tokens());
}

TEST(Prepare, MakerEndsTheCorpusAtItsFirstRefusal) {
  const ScratchDirectory folder;
  const auto make = [](uint64_t index, std::string* document) {
    *document = DocumentText(index);
    return index != 100;  // says yes again behind it
  };
  EXPECT_EQ(PrepareGenerated(make, 0, TestTokenizer(), Options(), folder / "out").documents, 100);
}

// Its caller need not be ready for other threads.
TEST(PrepareGenerated, AsksItsOwnThreadWhetherToStop) {
  ScratchDirectory folder;
  const std::thread::id caller = std::this_thread::get_id();
  int asked = 0;
  const StopRequest stop = [&] {
    EXPECT_TRUE(std::this_thread::get_id() == caller);
    return ++asked > 2;
  };
  EXPECT_THROW(PrepareGenerated(MakeDocument, 100'000, TestTokenizer(), Options(), folder / "out",
                                /*progress=*/{}, stop),
               Interruption);
  EXPECT_EQ(asked, 3);
  EXPECT_FALSE(FileExists(folder / "out/train.bin"));
}

TEST(Prepare, MaxTokensStopsAfterTheDocumentThatReachesIt) {
  const ScratchDirectory folder;
  PrepareOptions options = Options();
  options.max_tokens = 1'000;
  const PrepareStatistics statistics =
      PrepareGenerated(MakeDocument, 0, TestTokenizer(), options, folder / "out");
  EXPECT_GE(statistics.train_tokens, 1'000);
  EXPECT_LT(statistics.train_tokens, 1'000 + statistics.longest_document);
  // Met exactly it is reached; one more takes another document.
  const auto train_tokens = [&](int64_t max_tokens) {
    options.max_tokens = max_tokens;
    return PrepareGenerated(MakeDocument, 0, TestTokenizer(), options, folder / "out").train_tokens;
  };
  EXPECT_EQ(train_tokens(statistics.train_tokens), statistics.train_tokens);
  EXPECT_GT(train_tokens(statistics.train_tokens + 1), statistics.train_tokens);
}

TEST(Prepare, SpecialTokensInTextAreTextUnlessAllowed) {
  const ScratchDirectory folder;
  const auto make = [](uint64_t index, std::string* document) {
    *document = std::string("a") + kEos + "b";
    return index < 1;
  };
  PrepareOptions options = Options();
  options.validation_fraction = 0;
  options.bos_token = kBos;
  const int32_t bos = *TestTokenizer().TokenId(kBos), eos = *TestTokenizer().TokenId(kEos);
  const auto inner_eos = [&] {
    const TokenShard shard = TokenShard::Open(folder / "out/train.bin");
    EXPECT_EQ(shard.Token(0), bos);
    EXPECT_EQ(shard.Token(shard.tokens() - 1), eos);
    int count = 0;
    for (int64_t i = 0; i + 1 < shard.tokens(); ++i) count += shard.Token(i) == eos;
    return count;
  };
  PrepareGenerated(make, 0, TestTokenizer(), options, folder / "out");
  EXPECT_EQ(inner_eos(), 0);
  options.recognise_special = true;
  PrepareGenerated(make, 0, TestTokenizer(), options, folder / "out");
  EXPECT_EQ(inner_eos(), 1);
}

TEST(Prepare, NoValidationSplitRemovesAnOldOne) {
  const ScratchDirectory folder;
  PrepareOptions options = Options();
  PrepareGenerated(MakeDocument, 100, TestTokenizer(), options, folder / "out");
  EXPECT_TRUE(FileExists(folder / "out/val.bin"));
  options.validation_fraction = 0;
  PrepareGenerated(MakeDocument, 100, TestTokenizer(), options, folder / "out");
  EXPECT_FALSE(FileExists(folder / "out/val.bin"));
  EXPECT_EQ(TokenShard::Open(folder / "out/train.bin").documents(), 100);
}

TEST(Prepare, FailureLeavesWhatStoodThere) {
  const ScratchDirectory folder;
  PrepareGenerated(MakeDocument, 100, TestTokenizer(), Options(), folder / "out");
  const std::string before = ReadFile(folder / "out/train.bin");
  CorpusOptions strict;
  strict.strict = true;
  const std::string path = folder.Write("a.jsonl", "{\"text\": \"fine\"}\nbroken\n");
  EXPECT_CONTAINS(
      MessageOf([&] { PrepareFiles({path}, strict, TestTokenizer(), Options(), folder / "out"); }),
      "a.jsonl:2");
  const auto make = [](uint64_t index, std::string*) -> bool {
    if (index == 500) throw Error("the maker failed");
    return true;
  };
  EXPECT_EQ(
      MessageOf([&] { PrepareGenerated(make, 0, TestTokenizer(), Options(), folder / "out"); }),
      "the maker failed");
  EXPECT_EQ(ReadFile(folder / "out/train.bin"), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "out"), {}), 3);
}

TEST(Prepare, FoldersOfAnotherAreRefused) {
  const ScratchDirectory folder;
  const Tokenizer other =
      TrainTokenizer(std::vector<std::string>{"something else"},
                     {.vocab_size = 262, .special_tokens = {kEos}, .pattern = ""});
  const auto prepare = [&](const Tokenizer& tokenizer, const std::string& name) {
    return MessageOf(
        [&] { PrepareGenerated(MakeDocument, 9, tokenizer, Options(), folder / name); });
  };
  // A model, and a tokenizer that someone trained into the folder.
  for (const char* name : {"model", "words"}) {
    MakeDirectories(folder / name);
    WriteFileAtomically(folder / name + "/tokenizer.json", other.ToJson());
  }
  WriteFileAtomically(folder / "model" + "/config.json", "{}");
  EXPECT_CONTAINS(prepare(TestTokenizer(), "model"), "is a checkpoint");
  EXPECT_CONTAINS(prepare(other, "model"), "is a checkpoint");
  EXPECT_CONTAINS(prepare(TestTokenizer(), "words"), "is another tokenizer");
  EXPECT_EQ(ReadFile(folder / "words/tokenizer.json"), other.ToJson());
  EXPECT_FALSE(FileExists(folder / "words/train.bin"));
  // The same tokenizer, which stays as its owner spelt it; then shards, which go with theirs.
  const std::string spelt = "  " + other.ToJson();
  WriteFileAtomically(folder / "words/tokenizer.json", spelt);
  EXPECT_EQ(prepare(other, "words"), "");
  EXPECT_EQ(ReadFile(folder / "words/tokenizer.json"), spelt);
  EXPECT_EQ(prepare(TestTokenizer(), "words"), "");
  // A damaged one beside shards is mended.
  WriteFileAtomically(folder / "words/tokenizer.json", "{");
  EXPECT_EQ(prepare(TestTokenizer(), "words"), "");
  EXPECT_EQ(ReadFile(folder / "words/tokenizer.json"), TestTokenizer().ToJson());
  // Other programs' files of these names.
  for (const char* name : {"train.bin", "val.bin"}) {
    MakeDirectories(folder / name);
    WriteFileAtomically(folder / name + "/" + name, "50257 tokens");
    for (const double fraction : {0.0, 0.1}) {
      PrepareOptions options = Options();
      options.validation_fraction = fraction;
      EXPECT_CONTAINS(
          MessageOf([&] { PrepareGenerated(MakeDocument, 99, other, options, folder / name); }),
          "is no token shard");
    }
    EXPECT_EQ(ReadFile(folder / name + "/" + name), "50257 tokens");
  }
}

// Whichever tokenizer comes next, a killed call is mended by another.
TEST(Prepare, KilledAnywhereItCanBePreparedAgain) {
  const int threads = NumThreads();
  SetNumThreads(1);  // the child of a fork has no others
  const ScratchDirectory folder;
  const Tokenizer other =
      TrainTokenizer(std::vector<std::string>{"something else"},
                     {.vocab_size = 262, .special_tokens = {kEos}, .pattern = ""});
  PrepareOptions options = Options();
  static int s_steps_left = 0;
  int killed = 0;
  for (const double fraction : {0.0, 0.1}) {
    options.validation_fraction = fraction;
    const auto prepare = [&](const Tokenizer& tokenizer, const std::string& name) {
      PrepareGenerated(MakeDocument, 200, tokenizer, options, folder / name);
    };
    bool finished = false;
    for (int steps = 1; !finished; ++steps) {
      for (const Tokenizer* next : {&TestTokenizer(), &other}) {
        const std::string name = fmt::format("{} {} {}", fraction, steps, next == &other);
        prepare(TestTokenizer(), name);
        const pid_t child = fork();
        if (child == 0) {
          s_steps_left = steps;
          publication_hook = [](const char*) {
            if (--s_steps_left == 0) _exit(9);
          };
          prepare(other, name);
          _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        ASSERT_TRUE(WIFEXITED(status));
        finished = WEXITSTATUS(status) == 0;
        killed += !finished;
        EXPECT_EQ(MessageOf([&] { prepare(*next, name); }), "") << name;
        EXPECT_EQ(TokenShard::Open(folder / name + "/train.bin", next->hash()).documents() > 0,
                  true);
      }
    }
  }
  EXPECT_GT(killed, 20);
  SetNumThreads(threads);
}

int g_steps_left = 0;

TEST(Prepare, EndedAnywhereItLeavesNoFilesOfTwoCalls) {
  const ScratchDirectory folder;
  PrepareOptions other = Options();
  other.split_seed = 7;
  const auto prepare = [&](const PrepareOptions& options, const std::string& name) {
    PrepareGenerated(MakeDocument, 200, TestTokenizer(), options, folder / name);
  };
  prepare(Options(), "old");
  prepare(other, "new");
  const auto same = [&](const std::string& name) {
    return ReadFile(folder / "out/train.bin") == ReadFile(folder / (name + "/train.bin")) &&
           ReadFile(folder / "out/val.bin") == ReadFile(folder / (name + "/val.bin"));
  };
  ASSERT_NE(ReadFile(folder / "old/val.bin"), ReadFile(folder / "new/val.bin"));
  bool finished = false;
  int without = 0;
  static bool s_renamed;  // up to the first renaming nothing has changed
  for (int steps = 1; !finished; ++steps) {
    prepare(Options(), "out");
    g_steps_left = steps;
    s_renamed = false;
    publication_hook = [](const char* step) {
      s_renamed = s_renamed || std::string_view(step) == "rename";
      if (--g_steps_left == 0) throw Error("ended here");
    };
    finished = MessageOf([&] { prepare(other, "out"); }).empty();
    publication_hook = nullptr;
    if (!s_renamed) {
      EXPECT_TRUE(same("old")) << steps;
    }
    if (FileExists(folder / "out/train.bin")) {
      EXPECT_TRUE(same("old") || same("new")) << steps;
    } else {
      ++without;
    }
  }
  EXPECT_TRUE(same("new"));
  EXPECT_GT(without, 0);
}

TEST(Prepare, ImpossibleWishesAreNamed) {
  const ScratchDirectory folder;
  const auto error = [&](PrepareOptions options, int64_t documents) {
    return MessageOf([&] {
      PrepareGenerated(MakeDocument, documents, TestTokenizer(), options, folder / "out");
    });
  };
  PrepareOptions options = Options();
  options.eos_token = "<none>";
  const std::string no_token =
      "_token = \"<none>\": the tokenizer has no such token; name one of its special tokens "
      "(<|begin|>, <|end|>) or leave it empty";
  EXPECT_EQ(error(options, 10), "eos" + no_token);
  options = Options();
  options.bos_token = "<none>";
  EXPECT_EQ(error(options, 10), "bos" + no_token);
  options = Options();
  for (const double bad : {-0.1, 1.0, std::nan("")}) {
    options.validation_fraction = bad;
    EXPECT_EQ(error(options, 10),
              fmt::format("validation_fraction is {}; it must be in [0, 1)", bad));
  }
  options.validation_fraction = 1e-9;
  const auto one_sided = [](const char* split, const char* cure, double fraction) {
    return fmt::format(
        "none of the documents (10) fell to the {} split; {} validation_fraction = {}, or make "
        "more "
        "documents (split_text cuts a text)",
        split, cure, fraction);
  };
  EXPECT_EQ(error(options, 10), one_sided("validation", "raise (or set to 0)", 1e-9));
  options.validation_fraction = 1 - 1e-9;
  EXPECT_EQ(error(options, 10), one_sided("training", "lower", 1 - 1e-9));
  options = Options();
  options.max_tokens = -1;
  EXPECT_EQ(error(options, 10), "max_tokens is -1; it must be positive, or 0 for no limit");
  EXPECT_EQ(error(Options(), -1), "max_documents is -1; it must not be negative");
  EXPECT_CONTAINS(MessageOf([&] {
                    PrepareFiles({folder.Write("a.txt", "")}, {}, TestTokenizer(), Options(),
                                 folder / "out");
                  }),
                  "no document with text");
}

}  // namespace
}  // namespace darkhorse
