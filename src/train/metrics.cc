#include "train/metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "base/parallel.h"

namespace darkhorse {

JsonLinesFile::JsonLinesFile(const std::string& path)
    : path_(path), file_(std::fopen(path.c_str(), "ab")) {
  if (!file_) FailSystem("append to", path, errno);
}

JsonLinesFile::~JsonLinesFile() { std::fclose(file_); }

void JsonLinesFile::AppendLine(std::string_view json) {
  const bool written = std::fwrite(json.data(), 1, json.size(), file_) == json.size() &&
                       std::fputc('\n', file_) != EOF;
  if (!written || std::fflush(file_) != 0) FailSystem("append to", path_, errno);
}

void JsonLinesFile::Sync() {
  SyncPath(path_);
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  SyncPath(parent.empty() ? "." : parent);
}

void MetricsFile::Append(const StepMetrics& m, bool with_load) {
  std::string line = fmt::format(
      R"({{"step": {}, "tokens": {}, "loss": {}, "mtp_loss": {}, "balance_loss": {}, "max_violation": {}, "learning_rate": {}, "grad_norm": {})",
      m.step, m.tokens, m.loss, m.mtp_loss, m.balance_loss, m.max_violation, m.learning_rate,
      m.grad_norm);
  if (m.validation_loss >= 0) line += fmt::format(R"(, "validation_loss": {})", m.validation_loss);
  if (with_load) line += fmt::format(R"(, "expert_load": {})", m.load);
  AppendLine(line + "}");
}

void TimingsFile::Append(int64_t step, double seconds, double flops) {
  AppendLine(fmt::format(R"({{"step": {}, "seconds": {:.6f}, "flops": {:.6e}, "threads": {}}})",
                         step, seconds, flops, NumThreads()));
}

}  // namespace darkhorse
