#include "app/unread.h"

#include <algorithm>
#include <filesystem>

#include "app/output.h"
#include "base/error.h"
#include "base/file.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {
namespace {

void NoteFirst(const char* what, const std::vector<std::string>& named, int64_t count) {
  const size_t shown = std::min(named.size(), CorpusReport::kMaxNamed);
  for (size_t i = 0; i < shown; ++i) Note(fmt::format("{} {}", what, named[i]));
  const int64_t more = count - static_cast<int64_t>(shown);
  if (more > 0) Note(fmt::format("{} {} more like these", what, more));
}

}  // namespace

void NoteUnread(const CorpusReport& report) {
  NoteFirst("left out", report.left_out, static_cast<int64_t>(report.left_out.size()));
  NoteFirst("nothing in", report.hollow, static_cast<int64_t>(report.hollow.size()));
  NoteFirst("skipped", report.first_malformed, report.malformed);
}

void RequirePrepared(const std::string& data, const std::string& shard) {
  std::error_code error;
  if (FileExists(data + "/" + shard)) return;
  if (!FileExists(data))
    Fail("{}: no such folder; name one that `darkhorse data prepare` wrote", data);
  const bool folder = std::filesystem::is_directory(data, error);
  const std::filesystem::path path(data);
  if (!folder && path.extension() == ".bin")
    Fail("{}: is a file of a folder of token shards; name the folder, {}", data,
         path.has_parent_path() ? path.parent_path().string() : ".");
  if (IsModelFolder(data))
    Fail("{}: is a model, not a folder of token shards, which `darkhorse data prepare` writes",
         data);
  Fail(
      "{}: {}; make token shards of the text first: darkhorse data prepare {} "
      "--tokenizer FILE --out FOLDER",
      data,
      folder ? fmt::format("no {} in this folder", shard) : "a file, not a folder of token shards",
      data);
}

}  // namespace darkhorse
