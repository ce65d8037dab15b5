// Corpora: files and folders of text as a stream of documents. docs/data.md has the rules.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/json_reader.h"
#include "data/json_template.h"
#include "data/line_reader.h"

namespace darkhorse {

class FieldList;

struct CorpusOptions {
  std::string field = "text";
  std::string format;  // a template over several fields; replaces `field`
  bool split_text = false;
  std::string separator;
  bool strict = false;
  int64_t max_document_bytes = int64_t{256} << 20;
};
void ListFields(CorpusOptions& options, FieldList& list);

struct CorpusReport {
  int64_t files = 0;      // opened so far
  int64_t documents = 0;  // handed out
  int64_t text_bytes = 0;
  std::vector<std::string> left_out;         // files of the folders: FindCorpusFiles
  std::vector<std::string> hollow;           // files that held nothing at all
  int64_t empty = 0;                         // documents without text, skipped
  int64_t malformed = 0;                     // lines or documents skipped because they are broken
  std::vector<std::string> first_malformed;  // "file:line: why", at most kMaxNamed
  static constexpr size_t kMaxNamed = 5;
};

// "; 7 were skipped, the first: FILE:1: WHY" for an error about a corpus that holds nothing, or
// nothing at all.
std::string FirstSkipped(const CorpusReport& report);

struct CorpusFiles {
  std::vector<std::string> files;
  std::vector<std::string> left_out;  // "notes.md: not named .txt, ...", in order
};

// The corpus files under the paths. A corpus file ends in .txt, .jsonl or .json, or in one of these
// with .gz or .zst appended, in either case. A path that is a file must be one. A path that is a
// folder stands for all corpus files in it at any depth, in bytewise order of their paths; of the
// rest all but hidden files and folders is left_out. Error: a path does not exist, a file is of
// another kind, a folder holds no corpus file.
CorpusFiles FindCorpusFiles(const std::vector<std::string>& paths);

class CorpusReader {
 public:
  // UsageError: impossible options. Errors as FindCorpusFiles.
  CorpusReader(const std::vector<std::string>& paths, CorpusOptions options);

  // Puts the next document in *document; false at the end. Only one document is in memory at a
  // time. Error: a file cannot be read, or its compression is damaged; with `strict`, a line is
  // malformed.
  bool Next(std::string* document);

  const CorpusReport& report() const { return report_; }
  int64_t disk_bytes() const { return disk_bytes_; }  // of all files, as they lie on disk
  int64_t disk_bytes_read() const;

 private:
  bool NextInFile(std::string* document);
  bool NextLine(std::string* document);
  bool NextValue(std::string* document);
  bool NextSection(std::string* document);
  bool IsSeparator(const std::string& line) const;
  bool ReadSection(std::string* document, int64_t* first_line, bool* too_long);
  bool WholeFile(std::string* document);
  void Malformed(int64_t line, const std::string& why);
  std::string TooLong() const;
  int64_t Found() const;
  void OpenNextFile();

  CorpusOptions options_;
  JsonTemplate template_;
  std::vector<std::string> files_;
  size_t next_file_ = 0;
  int64_t found_before_ = 0;            // in the files before this one
  std::string path_;                    // of the open file
  std::unique_ptr<LineReader> lines_;   // of the open file, if it is read by lines
  std::unique_ptr<JsonReader> values_;  // of the open file, if it is a .json
  std::unique_ptr<ByteSource> bytes_;   // of the open file, if it is one document
  int64_t disk_bytes_ = 0, closed_bytes_ = 0;
  CorpusReport report_;
};

}  // namespace darkhorse
