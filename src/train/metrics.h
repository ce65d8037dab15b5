// metrics.jsonl: one JSON object a step, only what is determined by recipe and data, so that an
// interrupted run ends with the same bytes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

struct StepMetrics;

// MaxVio of the worst layer: max(load) / mean(load) - 1, load[layer][expert]; 0 without layers.
double MaxViolation(const std::vector<std::vector<int64_t>>& load);

// Appends lines; each is in the file when Append returns.
class JsonLinesFile {
 public:
  explicit JsonLinesFile(const std::string& path);
  JsonLinesFile(const JsonLinesFile&) = delete;
  JsonLinesFile& operator=(const JsonLinesFile&) = delete;
  ~JsonLinesFile();
  void AppendLine(std::string_view json);
  // On the disk before a checkpoint that counts on them, and their file's name with them.
  void Sync();

 private:
  std::string path_;
  std::FILE* file_;
};

class MetricsFile : public JsonLinesFile {
 public:
  using JsonLinesFile::JsonLinesFile;
  // with_load: the load of each expert too; worth a look now and then, not a line of hundreds of
  // numbers every step.
  void Append(const StepMetrics& metrics, bool with_load);
};

// timings.jsonl: what each step cost. Never the same twice, hence beside metrics.jsonl.
class TimingsFile : public JsonLinesFile {
 public:
  using JsonLinesFile::JsonLinesFile;
  // `seconds` of wall-clock on NumThreads() threads; `flops`: the model's own operations.
  void Append(int64_t step, double seconds, double flops);
};

}  // namespace darkhorse
