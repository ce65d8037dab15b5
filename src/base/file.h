// Files: whole reads, read-only maps, and writes that either replace the old file or leave it
// unchanged. A writer fills a temporary file in the same directory (`<path>.tmp-<pid>-<n>`), syncs
// it to the disk, and renames it over the old file. A crash, a kill or a full disk before the
// rename leaves the old file. The next writer of the same path removes what killed writers left. It
// knows them from work in progress by a lock on the temporary file, which ends with the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

// Throws Error "<path>: cannot <verb>: <errno's text>; <cure>".
[[noreturn]] void FailSystem(std::string_view verb, const std::string& path, int error_number);

// A descriptor to read the file with, which the caller closes. Error if it is missing, or no plain
// file: a pipe that nobody writes to would be waited for.
int OpenToRead(const std::string& path);

// The whole file, which may be empty. Throws Error if it cannot be read or exceeds max_bytes.
std::string ReadFile(const std::string& path, int64_t max_bytes = int64_t{1} << 32);

// The same of what a user names to be read from its beginning to its end: also a pipe, such as a
// shell's <(command), which is waited for until its writer ends.
std::string ReadFileOrPipe(const std::string& path, int64_t max_bytes = int64_t{1} << 32);

// The same of what standard input still holds.
std::string ReadStandardInput(int64_t max_bytes = int64_t{1} << 32);

bool FileExists(const std::string& path);

// Returns once the file or directory is on the disk.
void SyncPath(const std::string& path);

// Creates the directory and its missing parents.
void MakeDirectories(const std::string& path);

// Error if the file system on which `path` will lie, a file or directory that need not be there
// yet, has less than `bytes` free.
void RequireRoom(const std::string& path, int64_t bytes);

// A non-empty plain file mapped read-only. Movable; unmaps when destroyed. The file must not be
// truncated while mapped: every writer here replaces files and never shortens one in place.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

// Writes a file front to back, buffered. Nothing appears at `path` before Commit(). Without
// Commit() the destructor removes the temporary file. Every failure throws Error and leaves `path`
// untouched. It is an Error too if `path` names something other than a plain file.
class FileWriter {
 public:
  explicit FileWriter(const std::string& path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }
  // Bytes written so far: the offset of the next Write.
  int64_t position() const { return position_; }
  // Puts all that was written on the disk, which fails if there is no room. Ends the writing.
  void Finish();
  // Finishes, renames to `path`, syncs the directory.
  void Commit();

 private:
  void WriteThrough(std::span<const std::byte> bytes);
  void Flush();

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  int64_t position_ = 0;
  std::vector<std::byte> buffer_;
  bool finished_ = false;
};

void WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes);
void WriteFileAtomically(const std::string& path, std::string_view text);

// Publishes a whole directory at once: write files (plainly or with FileWriter) below path(), then
// call Commit(). If the target is a directory already, the two are exchanged in one step and the
// old one is removed. If it is anything else, that is an Error.
class DirectoryPublisher {
 public:
  explicit DirectoryPublisher(const std::string& target);
  DirectoryPublisher(const DirectoryPublisher&) = delete;
  DirectoryPublisher& operator=(const DirectoryPublisher&) = delete;
  ~DirectoryPublisher();

  // The temporary directory to fill.
  const std::string& path() const { return temporary_; }
  // Syncs everything below path(), renames it to the target, syncs the parent.
  void Commit();

 private:
  std::string target_;
  std::string temporary_;
  int lock_ = -1;
};

// Removes a directory with its contents. It loses its name in one step, so a killed process never
// leaves half a directory under that name. Does nothing if the directory is missing.
void RemoveDirectory(const std::string& path);

// Removes what killed writers left in `directory`: entries named `*.tmp-<pid>-<n>` that no living
// process works on. A directory set aside as `<name>.old-<pid>-<n>` returns to its name if the new
// one never came. Does nothing if the directory is missing.
void RemoveLeftovers(const std::string& directory);

// Whether a temporary file of a writer of `path` exists; the writer may be alive or killed.
bool HasLeftover(const std::string& path);

// Tests only: called before each step of publication with its name ("write", "sync", "rename",
// "sync directory", "exchange", "set aside", "remove"); may throw or end the process.
extern void (*publication_hook)(const char* step);

}  // namespace darkhorse
