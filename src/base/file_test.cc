#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/checksum.h"
#include "base/scratch_testing.h"

// The recorder of publication: in this program the calls that put files in place and on the disk
// come here first, and are written down in their order.
namespace {

// "sync a.tmp 5" (the bytes the file has then; "/" for a directory), "rename a.tmp a", "exchange
// d.tmp d". Temporary names lose their numbers; all are relative to `recorded_below`.
std::vector<std::string>* record = nullptr;
std::string recorded_below;
bool can_exchange = true;
std::string refused_rename;  // "a b": such a rename fails

std::string Shortened(std::string path) {
  path = std::regex_replace(path, std::regex("\\.(tmp|old)-\\d+-\\d+"), ".$1");
  if (path == recorded_below) return ".";
  return path.starts_with(recorded_below + "/") ? path.substr(recorded_below.size() + 1) : path;
}

}  // namespace

extern "C" {

int fsync(int fd) {
  if (record) {
    char path[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = readlink(link.c_str(), path, sizeof(path));
    struct stat status {};
    fstat(fd, &status);
    record->push_back("sync " + Shortened(std::string(path, static_cast<size_t>(length))) + " " +
                      (S_ISDIR(status.st_mode) ? "/" : std::to_string(status.st_size)));
  }
  return static_cast<int>(syscall(SYS_fsync, fd));
}

int rename(const char* from, const char* to) noexcept {
  if (!refused_rename.empty() && Shortened(from) + " " + Shortened(to) == refused_rename) {
    errno = EIO;
    return -1;
  }
  if (record) record->push_back("rename " + Shortened(from) + " " + Shortened(to));
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to,
              unsigned int flags) noexcept {
  if (!can_exchange) {
    errno = EINVAL;
    return -1;
  }
  if (record) record->push_back("exchange " + Shortened(from) + " " + Shortened(to));
  return static_cast<int>(syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
}

}  // extern "C"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;
using Record = std::vector<std::string>;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "darkhorse-file-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    publication_hook = nullptr;
    can_exchange = true;
    refused_rename.clear();
    fs::remove_all(dir_);
  }
  // What body syncs and renames, in order.
  Record Recorded(const std::function<void()>& body) const {
    Record out;
    recorded_below = dir_;
    record = &out;
    body();
    record = nullptr;
    return out;
  }
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  size_t Entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(dir_), fs::directory_iterator()));
  }
  std::string dir_;
};

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
  const auto expect_error = [&](const std::string& name, const char* says, const auto& body) {
    EXPECT_EQ(MessageOf(body), Path(name) + says) << name;
  };
  WriteFileAtomically(Path("empty"), "");
  WriteFileAtomically(Path("big"), "12345");
  const char* missing = ": cannot open: No such file or directory; check the path";
  expect_error("none", missing, [&] { MappedFile(Path("none")); });
  expect_error("none", missing, [&] { ReadFile(Path("none")); });
  expect_error("none", missing, [&] { SyncPath(Path("none")); });
  expect_error("empty", ": the file is empty; make or fetch it again",
               [&] { MappedFile(Path("empty")); });
  expect_error("", ": cannot open: Is a directory; name a file, not a directory",
               [&] { MappedFile{Path("")}; });
  expect_error("no/such/dir", ": cannot write: No such file or directory; check the path",
               [&] { FileWriter(Path("no/such/dir")); });
  expect_error("big/file",
               ": cannot write: Not a directory; a part of the path is a file, not a directory",
               [&] { FileWriter(Path("big/file")); });
  expect_error("big", ": larger than the 4 bytes such a file may have; is it the right file?",
               [&] { ReadFile(Path("big"), 4); });
  EXPECT_EQ(ReadFile(Path("big"), 5), "12345");
}

TEST(FailSystemTest, EveryErrorHasItsCure) {
  for (const auto& [number, cure] :
       {std::pair{ENOENT, "check the path"},
        {EACCES, "check the permissions or choose another place"},
        {EPERM, "check the permissions or choose another place"},
        {EROFS, "check the permissions or choose another place"},
        {ENOSPC,
         "free some space (or raise the limit) and run again; what stood there before is "
         "intact"},
        {EDQUOT,
         "free some space (or raise the limit) and run again; what stood there before is "
         "intact"},
        {EFBIG,
         "free some space (or raise the limit) and run again; what stood there before is "
         "intact"},
        {EISDIR, "name a file, not a directory"},
        {ENOTDIR, "a part of the path is a file, not a directory"},
        {EMFILE, "raise the limit of open files (ulimit -n)"},
        {ENFILE, "raise the limit of open files (ulimit -n)"},
        {EIO, "the disk reports an error: check it, then restore from a copy"},
        {ENXIO, "check the disk and the path"}}) {
    EXPECT_EQ(MessageOf([number = number] { FailSystem("wash", "a/b", number); }),
              fmt::format("a/b: cannot wash: {}; {}", std::strerror(number), cure));
  }
}

// Of a pipe a reader would wait for a writer that never comes; a link to one is no better.
TEST_F(FileTest, OnlyPlainFilesAreRead) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink(Path("pipe"), Path("link"));
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", Path("socket").c_str());
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::function<void(const std::string&)> readers[] = {
      [](const std::string& path) { MappedFile{path}; },
      [](const std::string& path) { ReadFile(path); },
      [](const std::string& path) { OpenByteSource(path); }};
  for (const std::string& path :
       {Path("pipe"), Path("link"), Path("socket"), std::string("/dev/zero")}) {
    for (const auto& read : readers) {
      const int code = InChild([&] {
        alarm(10);
        const std::string message = MessageOf([&] { read(path); });
        _exit(message == path + ": is a device, pipe or socket; name a file" ? 4 : 5);
      });
      EXPECT_EQ(code, 4) << path << " by " << &read - readers;
    }
  }
  close(listener);
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

// All bytes are on the disk before the name is theirs, and the name before Commit() returns.
TEST_F(FileTest, SyncsTheWholeFileThenRenamesThenSyncsTheFolder) {
  EXPECT_EQ(Recorded([&] { WriteFileAtomically(Path("a"), "hello"); }),
            (Record{"sync a.tmp 5", "rename a.tmp a", "sync . /"}));
  // Longer than the buffer, with a rest in it.
  const Record pieces = Recorded([&] {
    FileWriter writer(Path("b"));
    writer.Write(std::string(1'500'000, 'x'));
    writer.Write(std::string(700'000, 'y'));
    writer.Commit();
  });
  EXPECT_EQ(pieces, (Record{"sync b.tmp 2200000", "rename b.tmp b", "sync . /"}));
  const Record finished = Recorded([&] {
    FileWriter writer(Path("c"));
    writer.Write("123");
    writer.Finish();
    EXPECT_EQ(*record, Record{"sync c.tmp 3"});
    writer.Commit();
  });
  EXPECT_EQ(finished, (Record{"sync c.tmp 3", "rename c.tmp c", "sync . /"}));
}

// A folder survives a power cut once the one that names it is on the disk.
TEST_F(FileTest, MadeDirectoriesAreSyncedIntoTheirParents) {
  EXPECT_EQ(Recorded([&] { MakeDirectories(Path("a/b/c")); }),
            (Record{"sync . /", "sync a /", "sync a/b /"}));
  EXPECT_EQ(Recorded([&] { MakeDirectories(Path("a/b/d")); }), Record{"sync a/b /"});
  EXPECT_EQ(Recorded([&] { MakeDirectories(Path("a/b")); }), Record{});
}

TEST_F(FileTest, RoomIsThatOfWhereTheFileWillLie) {
  RequireRoom(Path("new/x"), 1);  // the folder need not be there
  EXPECT_TRUE(std::regex_match(
      MessageOf([&] { RequireRoom(Path("new/x"), int64_t{1} << 62); }),
      std::regex(".*/new/x: takes 4194304 TiB, and .* are free there; free some space, or name a "
                 "place on another disk")));
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

TEST_F(FileTest, ALeftoverIsATemporaryOfThatFileAlone) {
  EXPECT_FALSE(HasLeftover(Path("nowhere/a")));
  WriteFileAtomically(Path("a"), "x");
  for (const char* name : {"a.tmp-12", "a.tmp-1-2.txt", "a.old-1-2", "ba.tmp-1-2", "b.tmp-1-2"})
    std::ofstream(Path(name)) << "x";
  EXPECT_FALSE(HasLeftover(Path("a")));
  EXPECT_TRUE(HasLeftover(Path("b")));
  const FileWriter writer(Path("a"));
  EXPECT_TRUE(HasLeftover(Path("a")));
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

// Others' may be what a killed call is known by.
TEST_F(DirectoryTest, BeforeAWriteOnlyTheLeftoversOfThatNameGo) {
  for (const char* name : {"a.tmp-1-2", "b.tmp-1-2", "d.tmp-1-2"}) std::ofstream(Path(name)) << "x";
  WriteFileAtomically(Path("a"), "x");
  EXPECT_FALSE(HasLeftover(Path("a")));
  EXPECT_TRUE(HasLeftover(Path("b")) && HasLeftover(Path("d")));
  Publish("1");
  EXPECT_FALSE(HasLeftover(Path("d")));
  EXPECT_TRUE(HasLeftover(Path("b")));
}

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

// Everything below, then the folder itself, is on the disk before it gets its name; then its
// parent.
TEST_F(DirectoryTest, SyncsAllThenExchangesThenSyncsTheParent) {
  const auto publish = [&](const std::string& text) {
    Record all = Recorded([&] {
      DirectoryPublisher publisher(Path("d"));
      std::ofstream(publisher.path() + "/one") << text;
      fs::create_directory(publisher.path() + "/sub");
      std::ofstream(publisher.path() + "/sub/two") << text << text;
      publisher.Commit();
    });
    // The contents may come in any order.
    std::sort(all.begin(), all.begin() + static_cast<int64_t>(std::min<size_t>(3, all.size())));
    return all;
  };
  EXPECT_EQ(publish("old"), (Record{"sync d.tmp/one 3", "sync d.tmp/sub /", "sync d.tmp/sub/two 6",
                                    "sync d.tmp /", "rename d.tmp d", "sync . /"}));
  EXPECT_EQ(publish("newer"),
            (Record{"sync d.tmp/one 5", "sync d.tmp/sub /", "sync d.tmp/sub/two 10", "sync d.tmp /",
                    "exchange d.tmp d", "sync . /"}));
  can_exchange = false;
  EXPECT_EQ(publish("last"),
            (Record{"sync d.tmp/one 4", "sync d.tmp/sub /", "sync d.tmp/sub/two 8", "sync d.tmp /",
                    "rename d d.old", "rename d.tmp d", "sync . /"}));
  EXPECT_EQ(ReadFile(Path("d/one")), "last");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(DirectoryTest, WhatWasSetAsideReturnsWhereTheNewOneCannotCome) {
  Publish("old");
  can_exchange = false;
  recorded_below = dir_;
  refused_rename = "d.tmp d";
  EXPECT_TRUE(Says(MessageOf([&] { Publish("new"); }), "d: cannot publish"));
  EXPECT_EQ(ReadFile(Path("d/one")), "old");
  EXPECT_EQ(Entries(), 1u);
}

// Where a file system cannot exchange, there is a moment without the folder: it comes back.
TEST_F(DirectoryTest, KilledWhereNothingCanBeExchangedTheDirectoryIsOldOrNew) {
  can_exchange = false;
  publication_hook = ExitAt;
  for (const char* step : {"set aside", "rename", "sync directory", "remove"}) {
    exit_at = "";
    Publish("old");
    exit_at = step;
    EXPECT_EQ(InChild([&] {
                DirectoryPublisher publisher(Path("d"));
                std::ofstream(publisher.path() + "/one") << "new";
                publisher.Commit();
              }),
              9)
        << step;
    RemoveLeftovers(dir_);
    const bool renamed =
        std::strcmp(step, "sync directory") == 0 || std::strcmp(step, "remove") == 0;
    EXPECT_EQ(ReadFile(Path("d/one")), renamed ? "new" : "old") << step;
    EXPECT_EQ(Entries(), 1u) << step;
  }
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
  // Longer than the 32 bytes of a round: known from python-xxhash's manual, then three rounds and
  // every kind of rest.
  EXPECT_EQ(HexU64(Checksum64("Nobody inspects the spammish repetition")), "fbcea83c8a378bf1");
  std::string bytes;
  for (int i = 0; i < 101; ++i) bytes.push_back(static_cast<char>(i));
  EXPECT_EQ(HexU64(Checksum64(bytes)), "e99038495f85381e");
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
