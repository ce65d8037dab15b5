// metrics.jsonl: one JSON object per step, only what is determined by recipe and data, so that an
// interrupted run ends with the same bytes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "train/expert_load.h"

namespace darkhorse {

// One step's outcome. Everything but the timings is a pure function of recipe and data, and goes to
// metrics.jsonl.
struct StepMetrics {
  int64_t step = 0;  // 1 after the first update
  double loss = 0;   // mean over the step's tokens, nats
  double mtp_loss = 0;
  double balance_loss = 0;   // mean over layers and sequences; 1 is perfect
  double max_violation = 0;  // worst layer's max(load)/mean(load) - 1 (MaxVio)
  double learning_rate = 0;
  double grad_norm = 0;
  int64_t tokens = 0;           // so far
  double validation_loss = -1;  // where evaluated, if there is a validation shard
  ExpertLoad load;              // this step
  double epochs = 0;            // of the training text so far; not in the file, which has `tokens`
  // Timings, in timings.jsonl instead.
  double seconds = 0;
  double flops = 0;  // the model's own operations
  double tokens_per_second = 0;
  double gflops = 0;  // the model's own operations a second
};

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

// What the last line of a metrics.jsonl says of its step, without its load, epochs and timings; of
// a line that is no step's, or a file that is missing, step 0.
StepMetrics ReadLastMetrics(const std::string& path);

// timings.jsonl: what each step cost. Never the same twice, hence beside metrics.jsonl.
class TimingsFile : public JsonLinesFile {
 public:
  using JsonLinesFile::JsonLinesFile;
  // `seconds` of wall-clock on NumThreads() threads; `flops`: the model's own operations.
  // parts: what else is told of the seconds, by name.
  void Append(int64_t step, double seconds, double flops,
              const std::vector<std::pair<const char*, double>>& parts = {});
};

}  // namespace darkhorse
