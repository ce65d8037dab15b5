#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/format.h"

namespace darkhorse {

void (*publication_hook)(const char* step) = nullptr;

namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = 1 << 20;

void Step(const char* step) {
  if (publication_hook) publication_hook(step);
}

const char* Cure(int error_number) {
  switch (error_number) {
    case ENOENT:
      return "check the path";
    case EACCES:
    case EPERM:
    case EROFS:
      return "check the permissions or choose another place";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "free some space (or raise the limit) and run again; what stood there before is "
             "intact";
    case EISDIR:
      return "name a file, not a directory";
    case ENOTDIR:
      return "a part of the path is a file, not a directory";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case EIO:
      return "the disk reports an error: check it, then restore from a copy";
    default:
      return "check the disk and the path";
  }
}

std::string ParentOf(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// "<path>.<kind>-<pid>-<n>": the process and a count make it new unless a killed process with the
// same number left it; then the caller tries the next.
std::string TemporaryName(const std::string& path, const char* kind) {
  static std::atomic<int> count{0};
  return fmt::format("{}.{}-{}-{}", path, kind, getpid(), count.fetch_add(1));
}

// Where in a file name ".<kind>-<digits>-<digits>" begins; npos if it does not end so.
size_t TemporarySuffix(std::string_view name, std::string_view kind) {
  const size_t begin = name.rfind("." + std::string(kind) + "-");
  if (begin == std::string_view::npos || begin == 0) return std::string_view::npos;
  const std::string_view numbers = name.substr(begin + kind.size() + 2);
  const size_t dash = numbers.find('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == numbers.size()) {
    return std::string_view::npos;
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i != dash && (numbers[i] < '0' || numbers[i] > '9')) return std::string_view::npos;
  }
  return begin;
}

// True if a living process works on the file or directory.
bool IsLocked(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return locked;
}

// With only_name: what belongs to that entry; without: all.
void RemoveLeftoversOf(const std::string& directory, const std::string* only_name) {
  std::error_code ignored;  // tidying up must never be what stops a run
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    const std::string path = entry.path().string();
    const std::string name = entry.path().filename().string();
    for (const char* kind : {"tmp", "old"}) {
      const size_t suffix = TemporarySuffix(name, kind);
      if (suffix == std::string::npos) continue;
      if (only_name && name.substr(0, suffix) != *only_name) continue;
      if (IsLocked(path)) continue;
      const std::string target = directory + "/" + name.substr(0, suffix);
      if (std::string_view(kind) == "old" && !FileExists(target)) {
        fs::rename(path, target, ignored);
      } else {
        fs::remove_all(path, ignored);
      }
    }
  }
}

const char* KindName(mode_t mode) {
  if (S_ISREG(mode)) return "a file";
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  return "a device, pipe or socket";
}

// A rename would put our file or directory (`kind`: S_IFREG or S_IFDIR) in the place of a device or
// a link, which nobody means.
void RequireReplaceable(const std::string& path, mode_t kind) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0 || (status.st_mode & S_IFMT) == kind) return;
  Fail("{}: is {} and would be replaced by {}; choose another path", path, KindName(status.st_mode),
       KindName(kind));
}

// All that is left to read, fd closed behind it.
std::string ReadAll(int fd, const std::string& path, int64_t max_bytes) {
  std::string text;
  for (;;) {
    // No trust in st_size: standard input may be a pipe, and /proc reports 0.
    const size_t old_size = text.size();
    text.resize(old_size + std::max<size_t>(old_size, 1 << 16));
    const ssize_t got = read(fd, text.data() + old_size, text.size() - old_size);
    const int error_number = errno;
    text.resize(old_size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && error_number == EINTR) continue;
    if (got <= 0 || static_cast<int64_t>(text.size()) > max_bytes) {
      close(fd);
      if (got < 0) FailSystem("read", path, error_number);
      if (got == 0) return text;
      Fail("{}: larger than the {} bytes such a file may have; is it the right file?", path,
           max_bytes);
    }
  }
}

}  // namespace

void FailSystem(std::string_view verb, const std::string& path, int error_number) {
  Fail("{}: cannot {}: {}; {}", path, verb, std::generic_category().message(error_number),
       Cure(error_number));
}

bool FileExists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

void SyncPath(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) FailSystem("open", path, errno);
  const int result = fsync(fd);
  const int error_number = errno;
  close(fd);
  // Some network file systems cannot sync a directory; they order the rename themselves.
  if (result != 0 && error_number != EINVAL) FailSystem("sync", path, error_number);
}

void MakeDirectories(const std::string& path) {
  std::error_code error;
  std::vector<std::string> missing;  // innermost first
  // "." and "/" are their own parents, and may be out of sight of who may not search them.
  for (std::string at = path; !fs::exists(at, error) && ParentOf(at) != at; at = ParentOf(at)) {
    missing.push_back(at);
  }
  fs::create_directories(path, error);
  if (error) FailSystem("create the directory", path, error.value());
  // A directory survives a power cut once the one that names it is on disk.
  for (auto made = missing.rbegin(); made != missing.rend(); ++made) SyncPath(ParentOf(*made));
}

void RequireRoom(const std::string& path, int64_t bytes) {
  std::string at = ParentOf(path);
  std::error_code error;
  while (!fs::exists(at, error) && ParentOf(at) != at) at = ParentOf(at);
  const fs::space_info space = fs::space(at, error);
  if (error) FailSystem("ask for the free space of", at, error.value());
  if (space.available >= static_cast<uint64_t>(bytes)) return;
  Fail("{}: takes {}, and {} are free there; free some space, or name a place on another disk",
       path, FormatBytes(static_cast<double>(bytes)),
       FormatBytes(static_cast<double>(space.available)));
}

int OpenToRead(const std::string& path) {
  // O_NONBLOCK is for what is no plain file; reading one is the same with it.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status;
  // What cannot be opened at all, as a socket, is told as what it is.
  const int open_error = fd < 0 ? errno : 0;
  const bool known = fd < 0 ? stat(path.c_str(), &status) == 0 : fstat(fd, &status) == 0;
  if (known && !S_ISREG(status.st_mode)) {
    if (fd >= 0) close(fd);
    if (S_ISDIR(status.st_mode)) FailSystem("open", path, EISDIR);
    Fail("{}: is {}; name a file", path, KindName(status.st_mode));
  }
  if (fd < 0) FailSystem("open", path, open_error);
  return fd;
}

std::string ReadFile(const std::string& path, int64_t max_bytes) {
  return ReadAll(OpenToRead(path), path, max_bytes);
}

std::string ReadFileOrPipe(const std::string& path, int64_t max_bytes) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || !S_ISFIFO(status.st_mode))
    return ReadFile(path, max_bytes);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) FailSystem("open", path, errno);
  return ReadAll(fd, path, max_bytes);
}

std::string ReadStandardInput(int64_t max_bytes) {
  const std::string name = "standard input";
  const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) FailSystem("read", name, errno);
  return ReadAll(fd, name, max_bytes);
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = OpenToRead(path);
  struct stat status;
  int error_number = fstat(fd, &status) == 0 ? 0 : errno;
  if (error_number == 0 && status.st_size == 0) {
    close(fd);
    Fail("{}: the file is empty; make or fetch it again", path);
  }
  if (error_number == 0) {
    const size_t size = static_cast<size_t>(status.st_size);
    void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
      error_number = errno;
    } else {
      bytes_ = {static_cast<const std::byte*>(data), size};
    }
  }
  close(fd);
  if (error_number != 0) FailSystem("map", path, error_number);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.data()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

FileWriter::FileWriter(const std::string& path) : path_(path) {
  RequireReplaceable(path, S_IFREG);
  const std::string name = fs::path(path).filename().string();
  RemoveLeftoversOf(ParentOf(path), &name);
  do {
    temporary_ = TemporaryName(path, "tmp");
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) FailSystem("write", path, errno);
  flock(fd_, LOCK_EX | LOCK_NB);
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

void FileWriter::Write(std::span<const std::byte> bytes) {
  CHECK(fd_ >= 0 && !finished_);
  position_ += static_cast<int64_t>(bytes.size());
  if (buffer_.size() + bytes.size() > kBufferBytes) Flush();
  if (bytes.size() > kBufferBytes) return WriteThrough(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void FileWriter::WriteThrough(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    Step("write");
    const ssize_t put = write(fd_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) FailSystem("write", path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void FileWriter::Flush() {
  WriteThrough(buffer_);
  buffer_.clear();
}

void FileWriter::Finish() {
  CHECK(fd_ >= 0);
  if (finished_) return;
  Flush();
  Step("sync");
  if (fsync(fd_) != 0) FailSystem("write", path_, errno);
  finished_ = true;
}

void FileWriter::Commit() {
  Finish();
  Step("rename");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) FailSystem("write", path_, errno);
  close(std::exchange(fd_, -1));
  Step("sync directory");
  SyncPath(ParentOf(path_));
}

void WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes) {
  FileWriter writer(path);
  writer.Write(bytes);
  writer.Commit();
}

void WriteFileAtomically(const std::string& path, std::string_view text) {
  WriteFileAtomically(path, std::as_bytes(std::span(text)));
}

DirectoryPublisher::DirectoryPublisher(const std::string& target)
    : target_(WithoutTrailingSlash(target)) {
  RequireReplaceable(target_, S_IFDIR);
  const std::string name = fs::path(target_).filename().string();
  MakeDirectories(ParentOf(target_));
  RemoveLeftoversOf(ParentOf(target_), &name);
  int made;
  do {
    temporary_ = TemporaryName(target_, "tmp");
    made = mkdir(temporary_.c_str(), 0777);
  } while (made != 0 && errno == EEXIST);
  if (made != 0) FailSystem("create the directory", target_, errno);
  lock_ = open(temporary_.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock_ >= 0) flock(lock_, LOCK_EX | LOCK_NB);
}

DirectoryPublisher::~DirectoryPublisher() {
  if (lock_ >= 0) close(lock_);
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void DirectoryPublisher::Commit() {
  CHECK(!temporary_.empty());
  Step("sync");
  try {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(temporary_)) {
      SyncPath(entry.path().string());
    }
  } catch (const fs::filesystem_error& error) {
    FailSystem("list", temporary_, error.code().value());
  }
  SyncPath(temporary_);
  const char* from = temporary_.c_str();
  const char* to = target_.c_str();
  if (!FileExists(target_)) {
    Step("rename");
    if (rename(from, to) != 0) FailSystem("publish", target_, errno);
    temporary_.clear();
  } else {
    Step("exchange");
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) != 0) {
      if (errno != EINVAL && errno != ENOSYS) FailSystem("publish", target_, errno);
      // A file system that cannot exchange: set the old one aside; RemoveLeftovers brings it back
      // if we die before the new one is in place.
      const std::string old = TemporaryName(target_, "old");
      Step("set aside");
      if (rename(to, old.c_str()) != 0) FailSystem("publish", target_, errno);
      Step("rename");
      if (rename(from, to) != 0) {
        const int error_number = errno;
        rename(old.c_str(), to);
        FailSystem("publish", target_, error_number);
      }
      temporary_ = old;
    }
    // Now temporary_ names the old state.
  }
  Step("sync directory");
  SyncPath(ParentOf(target_));
  if (temporary_.empty()) return;
  Step("remove");
  std::error_code ignored;
  fs::remove_all(std::exchange(temporary_, ""), ignored);
}

void RemoveDirectory(const std::string& path) {
  const std::string condemned = TemporaryName(WithoutTrailingSlash(path), "tmp");
  if (rename(path.c_str(), condemned.c_str()) != 0) {
    if (errno == ENOENT) return;
    FailSystem("remove", path, errno);
  }
  Step("remove");
  std::error_code error;
  fs::remove_all(condemned, error);
  if (error) FailSystem("remove", path, error.value());
}

void RemoveLeftovers(const std::string& directory) { RemoveLeftoversOf(directory, nullptr); }

bool HasLeftover(const std::string& path) {
  const std::string wanted = fs::path(path).filename().string();
  std::error_code ignored;  // no such directory: no leftover
  for (const fs::directory_entry& entry : fs::directory_iterator(ParentOf(path), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.substr(0, TemporarySuffix(name, "tmp")) == wanted && name != wanted) return true;
  }
  return false;
}

}  // namespace darkhorse
