// Any bytes as the GGUF file that `info` describes and `convert` reads: an Error, or files that are
// a model again.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "checkpoint/export.h"
#include "checkpoint/model_source.h"
#include "fuzz/scratch_file.h"
#include "pipeline/loaded_model.h"

namespace darkhorse {
namespace {

void Convert(const std::function<void(const std::string& out)>& write) {
  const std::string out = ScratchFolder() + "/out";
  std::filesystem::remove_all(out);
  try {
    write(out);
  } catch (const Error&) {
    CHECK(!std::filesystem::exists(out));
    return;
  }
  OpenModel(out)->ReadTokenizer();
}

}  // namespace
}  // namespace darkhorse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darkhorse;
  const std::string in = ScratchFile(data, size);
  std::unique_ptr<ModelSource> source;
  try {
    source = OpenModel(in);
    CHECK(MemoryToRun(*source, {}, {.sequences = 2, .tokens = 100}).total() > 0);
  } catch (const Error&) {
    return 0;
  }
  Convert([&](const std::string& out) { ExportFolder(*source, DType::kBf16, out, {}); });
  Convert([&](const std::string& out) { ExportGguf(*source, GgmlType::kQ8_0, out, {}); });
  return 0;
}
