#include "train/metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
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

StepMetrics ReadLastMetrics(const std::string& path) {
  if (!FileExists(path)) return {};
  const std::string text = ReadFile(path);
  const size_t end = text.rfind('\n');
  if (end == std::string::npos) return {};
  const size_t before = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  const auto line = TryParseJson<nlohmann::json>(text.substr(begin, end - begin));
  if (!line || !line->is_object()) return {};
  StepMetrics m;
  try {
    line->at("step").get_to(m.step);
    line->at("tokens").get_to(m.tokens);
    line->at("loss").get_to(m.loss);
    line->at("mtp_loss").get_to(m.mtp_loss);
    line->at("balance_loss").get_to(m.balance_loss);
    line->at("max_violation").get_to(m.max_violation);
    line->at("learning_rate").get_to(m.learning_rate);
    line->at("grad_norm").get_to(m.grad_norm);
    m.validation_loss = line->value("validation_loss", m.validation_loss);
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return m;
}

void TimingsFile::Append(int64_t step, double seconds, double flops,
                         const std::vector<std::pair<const char*, double>>& parts) {
  std::string line =
      fmt::format(R"({{"step": {}, "seconds": {:.6f}, "flops": {:.6e}, "threads": {})", step,
                  seconds, flops, NumThreads());
  for (const auto& [name, value] : parts) line += fmt::format(R"(, "{}": {:.6f})", name, value);
  AppendLine(line + "}");
}

}  // namespace darkhorse
