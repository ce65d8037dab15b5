#include "checkpoint/checksums.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "checkpoint/gguf.h"

namespace darkhorse {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kFormat = "darkhorse-checksums-1";

struct FileSum {
  std::string name;
  int64_t size = 0;
  std::string xxh64;
  bool operator==(const FileSum&) const = default;
};

FileSum SumOf(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  std::error_code error;
  if (fs::file_size(path, error) == 0 && !error) return {name, 0, HexU64(Checksum64(""))};
  const MappedFile file(path);
  return {name, static_cast<int64_t>(file.bytes().size()), HexU64(Checksum64(file.bytes()))};
}

std::string ChecksumsPath(const std::string& directory) { return directory + "/checksums.json"; }

std::string ComputeChecksums(const std::string& directory) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  nlohmann::ordered_json files = nlohmann::ordered_json::object();
  for (const std::string& name : names) {
    const FileSum sum = SumOf(directory, name);
    files[name] = {{"size", sum.size}, {"xxh64", sum.xxh64}};
  }
  const nlohmann::ordered_json out = {{"format", kFormat}, {"files", files}};
  return out.dump(2) + "\n";
}

}  // namespace

void WriteChecksums(const std::string& directory) {
  WriteFileAtomically(ChecksumsPath(directory), ComputeChecksums(directory));
}

uint64_t CheckpointFingerprint(const std::string& directory) {
  if (std::filesystem::is_regular_file(directory)) {
    const std::vector<std::string> paths = GgufPartPaths(directory);
    std::vector<uint64_t> sums(paths.size());
    ParallelFor(static_cast<int64_t>(paths.size()), [&](int64_t i) {
      sums[static_cast<size_t>(i)] = Checksum64(MappedFile(paths[static_cast<size_t>(i)]).bytes());
    });
    if (sums.size() == 1) return sums.front();
    std::string all;
    for (const uint64_t sum : sums) all += HexU64(sum);
    return Checksum64(all);
  }
  const std::string path = ChecksumsPath(directory);
  return Checksum64(FileExists(path) ? ReadFile(path) : ComputeChecksums(directory));
}

bool VerifyChecksums(const std::string& directory, Verify what) {
  const std::string name = ChecksumsPath(directory);
  if (!FileExists(name)) return false;
  const json sums = ParseJsonObject(ReadFile(name, 1 << 24), name);
  if (JsonString(sums, "format", name) != kFormat || !sums.contains("files") ||
      !sums["files"].is_object()) {
    Fail("{}: not a '{}' file; restore it, or delete it to go unverified", name, kFormat);
  }
  std::vector<const char*> needed = {"config.json", "model.safetensors"};
  if (sums["files"].contains("adapter_config.json"))
    needed = {"adapter_config.json", "adapter_model.safetensors"};
  if (what == Verify::kModelAndTrainer) {
    needed.insert(needed.end(), {kTrainerStateFile, kOptimizerFile});
  }
  for (const char* file : needed) {
    if (sums["files"].contains(file)) continue;
    Fail("{}: does not list {}; restore it, or delete it to go unverified", name, file);
  }
  std::vector<FileSum> expected;
  for (const auto& [file, entry] : sums["files"].items()) {
    if (file.empty() || file[0] == '.' || file.find('/') != std::string::npos ||
        !entry.is_object()) {
      Fail("{}: bad entry '{}'; restore the file, or delete it to go unverified", name,
           Printable(file));
    }
    if (what == Verify::kModel && (file == kTrainerStateFile || file == kOptimizerFile)) continue;
    // It names the base's place, which a user may have moved; that it is the base is known by what
    // the tensors' file says of it.
    if (file == "adapter_config.json") continue;
    expected.push_back(
        {file, JsonInt(entry, "size", name, 0, INT64_MAX), JsonString(entry, "xxh64", name)});
  }
  ParallelFor(static_cast<int64_t>(expected.size()), [&](int64_t i) {
    const FileSum& want = expected[static_cast<size_t>(i)];
    if (!FileExists(directory + "/" + want.name)) {
      Fail("{}/{}: is missing; use an earlier checkpoint or a copy", directory, want.name);
    }
    const FileSum have = SumOf(directory, want.name);
    if (have == want) return;
    Fail(
        "{}/{}: {} (expected {} bytes, xxh64 {}; found {} bytes, {}); use an earlier checkpoint or "
        "a copy (if you edited the file on purpose, delete checksums.json)",
        directory, want.name, have.size == want.size ? "damaged" : "truncated or replaced",
        want.size, Printable(want.xxh64), have.size, have.xxh64);
  });
  return true;
}

}  // namespace darkhorse
