#include "data/corpus.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/error.h"
#include "base/fields.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

enum class Kind { kNone, kText, kJsonLines, kJson };

constexpr char kKinds[] = ".txt, .jsonl or .json (.gz or .zst may follow)";

Kind KindOf(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* suffix : {".gz", ".zst"}) {
    if (name.ends_with(suffix)) {
      name.resize(name.size() - std::string(suffix).size());
      break;
    }
  }
  return name.ends_with(".txt")     ? Kind::kText
         : name.ends_with(".jsonl") ? Kind::kJsonLines
         : name.ends_with(".json")  ? Kind::kJson
                                    : Kind::kNone;
}

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// Why an entry of a folder is none of its corpus; "" for a folder, which is looked into.
std::string WhyLeftOut(const fs::directory_entry& entry) {
  std::error_code error;
  if (entry.is_symlink(error) && entry.is_directory(error))
    return "a link to a folder, which is not followed";
  if (entry.is_directory(error)) return "";
  return entry.is_regular_file(error) ? fmt::format("not named {}", kKinds) : "not a plain file";
}

void AddFolder(const std::string& folder, CorpusFiles* files) {
  std::vector<std::string> found, left_out;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (IsHidden(entry->path())) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && KindOf(entry->path().string()) != Kind::kNone) {
      found.push_back(entry->path().string());
    } else if (const std::string why = WhyLeftOut(*entry); !why.empty()) {
      left_out.push_back(fmt::format("{}: {}", entry->path().string(), why));
    }
  }
  if (error) Fail("{}: the folder cannot be listed ({})", folder, error.message());
  std::sort(found.begin(), found.end());
  std::sort(left_out.begin(), left_out.end());
  if (found.empty()) {
    Fail("{}: no file in this folder is named {}{}; check the path", folder, kKinds,
         left_out.empty() ? ""
                          : fmt::format(" ({} are not, as {})", left_out.size(),
                                        left_out.front().substr(0, left_out.front().rfind(": "))));
  }
  std::ranges::move(found, std::back_inserter(files->files));
  std::ranges::move(left_out, std::back_inserter(files->left_out));
}

}  // namespace

void ListFields(CorpusOptions& options, FieldList& list) {
  list.Add("field", options.field, "JSON: the field that holds a document's text");
  list.Add(
      "format", options.format,
      "JSON: a template over several fields, such as \"{question}\\n{answer}\"; replaces field");
  list.Add("split_text", options.split_text,
           "plain text: a line equal to separator ends a document (else a file is one document)");
  list.Add("separator", options.separator, "plain text: the separating line; empty: blank lines");
  list.Add("strict", options.strict, "stop at the first malformed line instead of skipping it");
  list.Add("max_document_bytes", options.max_document_bytes, "longer documents are malformed");
}

std::string FirstSkipped(const CorpusReport& report) {
  if (report.first_malformed.empty()) return "";
  return fmt::format("; {} {} skipped, the first: {}", report.malformed,
                     report.malformed == 1 ? "was" : "were", report.first_malformed.front());
}

CorpusFiles FindCorpusFiles(const std::vector<std::string>& paths) {
  CorpusFiles files;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) Fail("{}: no such file or folder; check the path of the corpus", path);
    if (fs::is_directory(status)) {
      AddFolder(path, &files);
    } else if (KindOf(path) == Kind::kNone) {
      Fail("{}: not a corpus file; name it {}", path, kKinds);
    } else {
      files.files.push_back(path);
    }
  }
  return files;
}

CorpusReader::CorpusReader(const std::vector<std::string>& paths, CorpusOptions options)
    : options_(std::move(options)),
      template_(options_.format.empty() ? JsonTemplate::Field(options_.field)
                                        : JsonTemplate::Parse(options_.format)) {
  CorpusFiles found = FindCorpusFiles(paths);
  files_ = std::move(found.files);
  report_.left_out = std::move(found.left_out);
  if (files_.empty()) FailUsage("no corpus named; give files or folders of {}", kKinds);
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
  return closed_bytes_ + (lines_    ? lines_->disk_position()
                          : values_ ? values_->disk_position()
                          : bytes_  ? bytes_->disk_position()
                                    : 0);
}

// What all files so far held, whatever became of it.
int64_t CorpusReader::Found() const {
  return report_.documents + report_.empty + report_.malformed;
}

void CorpusReader::OpenNextFile() {
  path_ = files_[next_file_++];
  found_before_ = Found();
  ++report_.files;
  const auto longest = static_cast<size_t>(options_.max_document_bytes);
  const Kind kind = KindOf(path_);
  if (kind == Kind::kJson) {
    values_ = std::make_unique<JsonReader>(path_, longest);
  } else if (kind == Kind::kText && !options_.split_text) {
    bytes_ = OpenByteSource(path_);
  } else {
    lines_ = std::make_unique<LineReader>(path_, longest);
  }
}

bool CorpusReader::Next(std::string* document) {
  while (true) {
    if (!lines_ && !values_ && !bytes_) {
      if (next_file_ == files_.size()) return false;
      OpenNextFile();
    }
    if (!NextInFile(document)) {
      if (found_before_ == Found()) report_.hollow.push_back(path_);
      closed_bytes_ = disk_bytes_read();
      lines_.reset();
      values_.reset();
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
  if (values_) return NextValue(document);
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

bool CorpusReader::NextValue(std::string* document) {
  std::string value;
  while (true) {
    switch (values_->Next(&value)) {
      case JsonReader::Result::kEnd:
        return false;
      case JsonReader::Result::kTooLong:
        Malformed(values_->line_number(), TooLong());
        break;
      case JsonReader::Result::kUnclosed:
        Malformed(values_->line_number(), "a bracket or quote is not closed; is the file whole?");
        break;
      case JsonReader::Result::kValue:
        const std::string problem = template_.Render(value, document);
        if (problem.empty()) return true;
        Malformed(values_->line_number(), problem);
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

// A blank line may hold white space, which nobody sees.
bool CorpusReader::IsSeparator(const std::string& line) const {
  return options_.separator.empty() ? line.find_first_not_of(" \t\r\f\v") == std::string::npos
                                    : line == options_.separator;
}

// The lines up to the next separator, joined by newlines; runs of separators count as one.
bool CorpusReader::ReadSection(std::string* document, int64_t* first_line, bool* too_long) {
  std::string line;
  *first_line = 0;
  *too_long = false;
  for (LineReader::Result result; (result = lines_->Next(&line)) != LineReader::Result::kEnd;) {
    if (result == LineReader::Result::kLine && IsSeparator(line)) {
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
    if (!any && IsWideText({buffer.data(), count})) Fail("{}: {}", path_, kWideTextCure);
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
    Fail("{} (mend or remove the line; reading that is not strict skips it)", named);
  ++report_.malformed;
  if (report_.first_malformed.size() < CorpusReport::kMaxNamed) {
    report_.first_malformed.push_back(named);
  }
}

}  // namespace darkhorse
