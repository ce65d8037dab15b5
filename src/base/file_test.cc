#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/checksum.h"
#include "base/error.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "darkhorse-file-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    publication_hook = nullptr;
    fs::remove_all(dir_);
  }
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  size_t Entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(dir_), fs::directory_iterator()));
  }
  std::string dir_;
};

std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Runs body in a child process; returns its exit code (or -signal).
int InChild(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    try {
      body();
    } catch (const Error&) {
      _exit(2);
    } catch (...) {
      _exit(3);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

const char* exit_at = "";
void ExitAt(const char* step) {
  if (std::strcmp(step, exit_at) == 0) _exit(9);
}

TEST_F(FileTest, ReplacesNothingButItsOwnKind) {
  WriteFileAtomically(Path("file"), "old");
  MakeDirectories(Path("folder"));
  fs::create_symlink("file", Path("to_file"));
  fs::create_directory_symlink("folder", Path("to_folder"));
  fs::create_symlink("nowhere", Path("dangling"));
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  for (const auto& [name, kind] : {std::pair{"to_file", "a symbolic link"},
                                   {"dangling", "a symbolic link"},
                                   {"folder", "a directory"},
                                   {"pipe", "a device, pipe or socket"}}) {
    EXPECT_EQ(MessageOf([&] { WriteFileAtomically(Path(name), "new"); }),
              fmt::format("{}: is {} and would be replaced by a file; choose another path",
                          Path(name), kind));
  }
  for (const auto& [name, kind] : {std::pair{"to_folder/", "a symbolic link"},
                                   {"file", "a file"},
                                   {"pipe", "a device, pipe or socket"}}) {
    const std::string message = MessageOf([&] { DirectoryPublisher(Path(name)).Commit(); });
    EXPECT_NE(message.find(kind), std::string::npos) << message;
  }
  EXPECT_TRUE(fs::is_symlink(Path("to_file")) && fs::is_symlink(Path("dangling")) &&
              fs::is_symlink(Path("to_folder")) && fs::is_fifo(Path("pipe")));
  EXPECT_EQ(ReadFile(Path("file")), "old");
  EXPECT_EQ(Entries(), 6u);
}

TEST_F(FileTest, WritesAndReadsBack) {
  WriteFileAtomically(Path("a"), "hello");
  EXPECT_EQ(ReadFile(Path("a")), "hello");
  EXPECT_EQ(MappedFile(Path("a")).text(), "hello");
  WriteFileAtomically(Path("a"), "");
  EXPECT_EQ(ReadFile(Path("a")), "");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(FileTest, StreamsLargeAndSmallPieces) {
  std::string all;
  FileWriter writer(Path("a"));
  for (const size_t size : {3u, 700000u, 700000u, 3000000u, 1u}) {
    const std::string piece(size, static_cast<char>('a' + size % 7));
    EXPECT_EQ(writer.position(), static_cast<int64_t>(all.size()));
    writer.Write(piece);
    all += piece;
  }
  EXPECT_FALSE(FileExists(Path("a")));
  writer.Commit();
  EXPECT_EQ(ReadFile(Path("a")), all);
}

TEST_F(FileTest, WithoutCommitNothingChanges) {
  WriteFileAtomically(Path("a"), "old");
  { FileWriter(Path("a")).Write("new"); }
  EXPECT_EQ(ReadFile(Path("a")), "old");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(FileTest, ErrorsNameTheFileAndTheCure) {
  const auto contains = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const std::string missing = MessageOf([&] { MappedFile(Path("none")); });
  EXPECT_TRUE(contains(missing, Path("none")) && contains(missing, "check the path")) << missing;
  EXPECT_TRUE(contains(MessageOf([&] { ReadFile(Path("none")); }), "check the path"));
  WriteFileAtomically(Path("empty"), "");
  EXPECT_TRUE(contains(MessageOf([&] { MappedFile(Path("empty")); }), "empty"));
  EXPECT_TRUE(contains(MessageOf([&] { MappedFile{dir_}; }), "name a file"));
  EXPECT_TRUE(contains(MessageOf([&] { FileWriter(Path("no/such/dir")); }), "check the path"));
  WriteFileAtomically(Path("big"), "12345");
  EXPECT_TRUE(contains(MessageOf([&] { ReadFile(Path("big"), 4); }), "larger than"));
  EXPECT_EQ(ReadFile(Path("big"), 5), "12345");
}

// A reader would wait for a writer that never comes.
TEST_F(FileTest, APipeIsNotMapped) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  const int code = InChild([&] {
    alarm(10);
    const std::string message = MessageOf([&] { MappedFile(Path("pipe")); });
    _exit(message.find("is a device, pipe or socket; name a file") != std::string::npos ? 4 : 5);
  });
  EXPECT_EQ(code, 4);
}

TEST_F(FileTest, StandardInputIsReadToItsEndOrRefused) {
  WriteFileAtomically(Path("a"), std::string(3'000'000, 'x'));
  const auto read = [&](const std::string& path, int64_t limit) {
    return InChild([&] {
      dup2(open(path.c_str(), O_RDONLY), STDIN_FILENO);
      _exit(ReadStandardInput(limit) == std::string(3'000'000, 'x') ? 4 : 5);
    });
  };
  EXPECT_EQ(read(Path("a"), 3'000'000), 4);
  EXPECT_EQ(read(Path("a"), 2'999'999), 2);
  EXPECT_EQ(read(dir_, 3'000'000), 2);
}

// Nothing exists then, not even ".".
TEST_F(FileTest, AFolderThatMayNotBeSearchedIsAnError) {
  MakeDirectories(Path("closed"));
  const int code = InChild([&] {
    alarm(10);
    if (chdir(Path("closed").c_str()) != 0 || chmod(".", 0) != 0) _exit(6);
    if (geteuid() == 0 && setuid(65534) != 0) _exit(7);  // root searches everything
    MakeDirectories("a/b");
  });
  EXPECT_EQ(code, 2);
  chmod(Path("closed").c_str(), 0700);
}

TEST_F(FileTest, FullDiskLeavesTheOldFileAndNoTemporary) {
  WriteFileAtomically(Path("a"), "old");
  const int code = InChild([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};  // writes beyond it fail with EFBIG, as ENOSPC would
    setrlimit(RLIMIT_FSIZE, &limit);
    WriteFileAtomically(Path("a"), std::string(3000000, 'x'));
  });
  EXPECT_EQ(code, 2);  // an Error, and its destructor ran
  EXPECT_EQ(ReadFile(Path("a")), "old");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(FileTest, KilledAtAnyStepTheFileIsOldOrNew) {
  publication_hook = ExitAt;
  for (const char* step : {"write", "sync", "rename", "sync directory"}) {
    exit_at = "";
    WriteFileAtomically(Path("a"), "old");
    exit_at = step;
    EXPECT_EQ(InChild([&] { WriteFileAtomically(Path("a"), "new"); }), 9) << step;
    const bool renamed = std::strcmp(step, "sync directory") == 0;
    EXPECT_EQ(ReadFile(Path("a")), renamed ? "new" : "old") << step;
    EXPECT_EQ(Entries(), renamed ? 1u : 2u) << step;
    exit_at = "";
    WriteFileAtomically(Path("a"), "newer");  // removes the leftover
    EXPECT_EQ(Entries(), 1u) << step;
  }
}

TEST_F(FileTest, LeavesWorkInProgressAlone) {
  FileWriter first(Path("a"));
  first.Write("first");
  WriteFileAtomically(Path("a"), "second");
  RemoveLeftovers(dir_);
  first.Commit();
  EXPECT_EQ(ReadFile(Path("a")), "first");
}

TEST_F(FileTest, RemovesOnlyItsOwnKindOfLeftovers) {
  for (const char* name : {"a.tmp-12-3", "a.tmp-12", "a.tmp-x-3", ".tmp-1-2", "b.tmp-1-2.txt"}) {
    std::ofstream(Path(name)) << "x";
  }
  RemoveLeftovers(dir_);
  EXPECT_FALSE(FileExists(Path("a.tmp-12-3")));
  EXPECT_EQ(Entries(), 4u);
}

class DirectoryTest : public FileTest {
 protected:
  void Publish(const std::string& text) {
    DirectoryPublisher publisher(Path("d"));
    WriteFileAtomically(publisher.path() + "/one", text);
    MakeDirectories(publisher.path() + "/sub");
    WriteFileAtomically(publisher.path() + "/sub/two", text);
    publisher.Commit();
  }
};

TEST_F(DirectoryTest, PublishesAndReplaces) {
  Publish("1");
  EXPECT_EQ(ReadFile(Path("d/sub/two")), "1");
  Publish("2");
  EXPECT_EQ(ReadFile(Path("d/one")), "2");
  EXPECT_EQ(Entries(), 1u);
  {
    DirectoryPublisher publisher(Path("d/"));
    WriteFileAtomically(publisher.path() + "/one", "3");
  }
  EXPECT_EQ(ReadFile(Path("d/one")), "2");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(DirectoryTest, KilledAtAnyStepTheDirectoryIsOldOrNew) {
  publication_hook = ExitAt;
  for (const char* step : {"sync", "exchange", "sync directory", "remove"}) {
    exit_at = "";
    Publish("old");
    exit_at = step;
    // Files inside are published plainly so that only the directory's own steps are met.
    EXPECT_EQ(InChild([&] {
                DirectoryPublisher publisher(Path("d"));
                std::ofstream(publisher.path() + "/one") << "new";
                publisher.Commit();
              }),
              9)
        << step;
    const bool exchanged =
        std::strcmp(step, "sync directory") == 0 || std::strcmp(step, "remove") == 0;
    EXPECT_EQ(ReadFile(Path("d/one")), exchanged ? "new" : "old") << step;
    RemoveLeftovers(dir_);
    EXPECT_EQ(Entries(), 1u) << step;
    EXPECT_EQ(ReadFile(Path("d/one")), exchanged ? "new" : "old") << step;
  }
}

TEST_F(DirectoryTest, RemovalIsAtOnce) {
  Publish("1");
  publication_hook = ExitAt;
  exit_at = "remove";
  EXPECT_EQ(InChild([&] { RemoveDirectory(Path("d")); }), 9);
  EXPECT_FALSE(FileExists(Path("d")));
  EXPECT_EQ(Entries(), 1u);
  RemoveLeftovers(dir_);
  EXPECT_EQ(Entries(), 0u);
  RemoveDirectory(Path("d"));
}

TEST_F(DirectoryTest, SetAsideDirectoryReturns) {
  Publish("old");
  fs::rename(Path("d"), Path("d.old-1-2"));  // killed between the two renames of the dance
  RemoveLeftovers(dir_);
  EXPECT_EQ(ReadFile(Path("d/one")), "old");
  fs::copy(Path("d"), Path("d.old-1-2"));  // killed after them
  RemoveLeftovers(dir_);
  EXPECT_EQ(Entries(), 1u);
}

TEST(ChecksumTest, IsXxh64) {
  EXPECT_EQ(HexU64(Checksum64("")), "ef46db3751d8e999");
  EXPECT_EQ(HexU64(Checksum64("a")), "d24ec4f1a98c6e5b");
  EXPECT_EQ(HexU64(Checksum64("abc")), "44bc2cf5ad770999");
}

TEST(ChecksumTest, EveryBitCounts) {
  std::string text(77, 'q');
  const uint64_t sum = Checksum64(text);
  for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(Checksum64(text), sum) << bit;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
  }
}

}  // namespace
}  // namespace darkhorse
