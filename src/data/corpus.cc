#include "data/corpus.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/fields.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

enum class Kind { kNone, kText, kJsonLines };

Kind KindOf(std::string name) {
  for (const char* suffix : {".gz", ".zst"}) {
    if (name.ends_with(suffix)) {
      name.resize(name.size() - std::string(suffix).size());
      break;
    }
  }
  return name.ends_with(".txt")     ? Kind::kText
         : name.ends_with(".jsonl") ? Kind::kJsonLines
                                    : Kind::kNone;
}

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

void AddFolder(const std::string& folder, std::vector<std::string>* files) {
  std::vector<std::string> found;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (IsHidden(entry->path())) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && KindOf(entry->path().string()) != Kind::kNone) {
      found.push_back(entry->path().string());
    }
  }
  if (error) Fail("{}: the folder cannot be listed ({})", folder, error.message());
  if (found.empty()) {
    Fail("{}: no .txt or .jsonl file in this folder (.gz and .zst may follow); check the path",
         folder);
  }
  std::sort(found.begin(), found.end());
  files->insert(files->end(), found.begin(), found.end());
}

}  // namespace

void ListFields(CorpusOptions& options, FieldList& list) {
  list.Add("field", options.field, "JSONL: the field that holds a document's text");
  list.Add(
      "format", options.format,
      "JSONL: a template over several fields, such as \"{question}\\n{answer}\"; replaces field");
  list.Add("split_text", options.split_text,
           "plain text: a line equal to separator ends a document (else a file is one document)");
  list.Add("separator", options.separator, "plain text: the separating line; empty: blank lines");
  list.Add("strict", options.strict, "stop at the first malformed line instead of skipping it");
  list.Add("max_document_bytes", options.max_document_bytes, "longer documents are malformed");
}

std::string FirstSkipped(const CorpusReport& report) {
  if (report.first_malformed.empty()) return "";
  return fmt::format("; {} were skipped, the first: {}", report.malformed,
                     report.first_malformed.front());
}

std::vector<std::string> FindCorpusFiles(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) Fail("{}: no such file or folder; check the path of the corpus", path);
    if (fs::is_directory(status)) {
      AddFolder(path, &files);
    } else if (KindOf(path) == Kind::kNone) {
      Fail("{}: not a corpus file; name it .txt or .jsonl, compressed with .gz or .zst behind",
           path);
    } else {
      files.push_back(path);
    }
  }
  return files;
}

CorpusReader::CorpusReader(const std::vector<std::string>& paths, CorpusOptions options)
    : options_(std::move(options)),
      template_(options_.format.empty() ? JsonTemplate::Field(options_.field)
                                        : JsonTemplate::Parse(options_.format)),
      files_(FindCorpusFiles(paths)) {
  if (files_.empty()) FailUsage("no corpus named; give files or folders of .txt or .jsonl");
  if (options_.max_document_bytes < 1) {
    FailUsage("max_document_bytes is {}; it must be at least 1", options_.max_document_bytes);
  }
  for (const std::string& file : files_) {
    std::error_code error;
    const auto size = fs::file_size(file, error);
    if (!error) disk_bytes_ += static_cast<int64_t>(size);  // a pipe has no size
  }
}

int64_t CorpusReader::disk_bytes_read() const {
  return closed_bytes_ + (lines_ ? lines_->disk_position() : bytes_ ? bytes_->disk_position() : 0);
}

void CorpusReader::OpenNextFile() {
  path_ = files_[next_file_++];
  ++report_.files;
  if (KindOf(path_) == Kind::kText && !options_.split_text) {
    bytes_ = OpenByteSource(path_);
  } else {
    lines_ = std::make_unique<LineReader>(path_, static_cast<size_t>(options_.max_document_bytes));
  }
}

bool CorpusReader::Next(std::string* document) {
  while (true) {
    if (!lines_ && !bytes_) {
      if (next_file_ == files_.size()) return false;
      OpenNextFile();
    }
    if (!NextInFile(document)) {
      closed_bytes_ = disk_bytes_read();
      lines_.reset();
      bytes_.reset();
    } else if (document->empty()) {
      ++report_.empty;
    } else {
      ++report_.documents;
      report_.text_bytes += static_cast<int64_t>(document->size());
      return true;
    }
  }
}

bool CorpusReader::NextInFile(std::string* document) {
  document->clear();
  if (bytes_) return WholeFile(document);
  return KindOf(path_) == Kind::kText ? NextSection(document) : NextLine(document);
}

bool CorpusReader::NextLine(std::string* document) {
  std::string line;
  while (true) {
    switch (lines_->Next(&line)) {
      case LineReader::Result::kEnd:
        return false;
      case LineReader::Result::kTooLong:
        Malformed(lines_->line_number(), TooLong());
        break;
      case LineReader::Result::kLine:
        if (line.find_first_not_of(" \t\r") == std::string::npos) break;
        const std::string problem = template_.Render(line, document);
        if (problem.empty()) return true;
        Malformed(lines_->line_number(), problem);
        document->clear();
    }
  }
}

bool CorpusReader::NextSection(std::string* document) {
  int64_t first_line;
  bool too_long;
  while (ReadSection(document, &first_line, &too_long)) {
    if (!too_long) return true;
    Malformed(first_line, TooLong());
    document->clear();
  }
  return false;
}

// The lines up to the next separator, joined by newlines; runs of separators count as one.
bool CorpusReader::ReadSection(std::string* document, int64_t* first_line, bool* too_long) {
  std::string line;
  *first_line = 0;
  *too_long = false;
  for (LineReader::Result result; (result = lines_->Next(&line)) != LineReader::Result::kEnd;) {
    if (result == LineReader::Result::kLine && line == options_.separator) {
      if (*first_line != 0) break;
      continue;
    }
    if (*first_line == 0) {
      *first_line = lines_->line_number();
    } else if (!*too_long) {
      *document += '\n';
    }
    *too_long = *too_long || result == LineReader::Result::kTooLong ||
                static_cast<int64_t>(document->size() + line.size()) > options_.max_document_bytes;
    if (!*too_long) *document += line;
  }
  return *first_line != 0;
}

// The file is handed out at once and closed at the next call. A file that is too large is an error
// even when not strict: it would be all of the corpus in many cases.
bool CorpusReader::WholeFile(std::string* document) {
  std::string buffer(1 << 18, '\0');
  bool any = false;
  while (const size_t count = bytes_->Read(buffer.data(), buffer.size())) {
    any = true;
    document->append(buffer, 0, count);
    if (static_cast<int64_t>(document->size()) > options_.max_document_bytes) {
      Fail("{}: {}, or set split_text to cut the file at separator lines", path_, TooLong());
    }
  }
  if (document->starts_with("\xEF\xBB\xBF")) document->erase(0, 3);
  return any;
}

std::string CorpusReader::TooLong() const {
  return fmt::format("longer than max_document_bytes = {}; raise it", options_.max_document_bytes);
}

void CorpusReader::Malformed(int64_t line, const std::string& why) {
  const std::string named = fmt::format("{}:{}: {}", path_, line, why);
  if (options_.strict)
    Fail("{} (strict: mend or remove the line, or drop strict to skip it)", named);
  ++report_.malformed;
  if (report_.first_malformed.size() < CorpusReport::kMaxNamed) {
    report_.first_malformed.push_back(named);
  }
}

}  // namespace darkhorse
