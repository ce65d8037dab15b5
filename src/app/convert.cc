// `darkhorse convert`: a model as files that other programs read.
#include <algorithm>

#include "app/app.h"
#include "app/output.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "checkpoint/export.h"

namespace darkhorse {
namespace {

struct ConvertOptions {
  std::string in, out, to;
  double shard_size = 5;  // GB
};

// What --to may name: a folder's tensors or those of a GGUF file.
struct Target {
  const char* name;
  std::optional<DType> folder;
  GgmlType gguf = GgmlType::kF32;
};
const Target kTargets[] = {
    {"hf-f32", DType::kF32},
    {"hf-bf16", DType::kBf16},
    {"gguf-f16", {}, GgmlType::kF16},
    {"gguf-q8_0", {}, GgmlType::kQ8_0},
    {"gguf-q4_0", {}, GgmlType::kQ4_0},
    {"gguf-q4_k", {}, GgmlType::kQ4K},
};

void Run(const ConvertOptions& options) {
  const Target& target = *std::ranges::find(kTargets, options.to, &Target::name);
  ExportOptions how;
  how.shard_bytes = static_cast<int64_t>(options.shard_size * 1e9);
  how.stop = Interrupted;
  CatchInterrupts();
  const auto source = OpenModel(options.in);
  const double start = SteadySeconds();
  int64_t bytes = 0;
  {
    StatusLine line;
    how.progress = [&](int64_t done, int64_t total) {
      bytes = total;
      line.Show(FormatProgress({done, total, SteadySeconds() - start}, "bytes"));
    };
    if (target.folder) {
      ExportFolder(*source, *target.folder, options.out, how);
    } else {
      ExportGguf(*source, target.gguf, options.out, how);
    }
  }
  Note(fmt::format("{}: {} of weights as {}", options.out, FormatBytes(static_cast<double>(bytes)),
                   options.to));
}

}  // namespace

void RegisterConvert(Command app) {
  const auto options = std::make_shared<ConvertOptions>();
  Command command =
      app.AddCommand("convert", "Write a model as Hugging Face's folder or as a GGUF file");
  command.Add("in", options->in, "folder of safetensors, or GGUF file").Required();
  command.Add("out", options->out, "what to write; must not exist").Required();
  std::vector<std::string> names;
  for (const Target& target : kTargets) names.emplace_back(target.name);
  command.Add("--to", options->to, "files and format of the weights").Required().OneOf(names);
  command.Add("--shard-size", options->shard_size, "GB of a folder's file, save a larger tensor")
      .WithinReals(1e-6, 1e6);
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
