// What darkhorse makes of GGUF's parts, for the programs in tools/ that compare it with others.
//   bench_gguf decode TYPE     blocks of ggml's type of that number on stdin, their numbers (f32)
//   on
//                              stdout: tools/make_ggml_blocks_golden.py
//   bench_gguf params FILE     "NAME EXTENT..." lines on stdin, the parameters' numbers (f32) on
//                              stdout: tools/compare_gguf.py
//   bench_gguf logits MODEL    token ids on stdin, the logits of each position (f32) on stdout:
//                              tools/compare_logits.py
//   bench_gguf tokenizer FILE OUT   its tokenizer as tokenizer.json: tools/tokenizer_compare.py
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/gguf_tokenizer.h"
#include "checkpoint/model_source.h"
#include "kernel/ggml_blocks.h"
#include "kernel/linear.h"
#include "model/transformer.h"
#include "model/weight_store.h"

namespace darkhorse {
namespace {

void Decode(const char* type) {
  const GgmlTypeInfo* info = FindGgmlType(static_cast<uint32_t>(std::atoi(type)));
  if (!info || !info->decode) Fail("type {} is not decoded", type);
  const std::string blocks = ReadStandardInput();
  const int64_t count = static_cast<int64_t>(blocks.size()) / info->bytes;
  std::vector<float> numbers(static_cast<size_t>(count * info->numbers));
  info->decode(reinterpret_cast<const std::byte*>(blocks.data()), count, numbers.data());
  std::fwrite(numbers.data(), sizeof(float), numbers.size(), stdout);
}

void PrintParams(const char* path) {
  const GgufFiles files(path);
  const GgufTensors tensors(files);
  const std::string lines = ReadStandardInput();
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    std::vector<int64_t> shape;
    for (int64_t extent; words >> extent;) shape.push_back(extent);
    const GgufParam param = tensors.Find(name, shape);
    std::vector<float> numbers(static_cast<size_t>(param.rows() * param.cols()));
    param.ReadRows(0, param.rows(), numbers.data());
    std::fwrite(numbers.data(), sizeof(float), numbers.size(), stdout);
  }
}

void PrintLogits(const char* path) {
  const std::unique_ptr<const ModelSource> source = OpenModel(path);
  ModelConfig config = source->config();
  config.num_nextn_predict_layers = 0;
  const WeightStore weights(config, *source, [](const ParamSpec&) { return Format::kF32; });
  TokenBatch batch;
  const std::string ids = ReadStandardInput();
  std::istringstream in(ids);
  for (int32_t id; in >> id;) batch.tokens.push_back(id);
  batch.segments = {{0, batch.rows(), 0, -1}};
  Arena arena;
  const Transformer model(config);
  const Matrix hidden = model.Forward(weights.model(), batch, nullptr, arena, nullptr);
  const Matrix logits = arena.NewMatrix(hidden.rows, config.vocab_size);
  LinearForward(hidden, weights.model().lm_head, logits);
  std::fwrite(logits.data, sizeof(float), static_cast<size_t>(logits.size()), stdout);
}

void WriteTokenizer(const char* path, const char* out) {
  const GgufFile file(path, GgufExtent::kHead);
  WriteFileAtomically(out, std::string_view(LoadGgufTokenizer(file.keys()).ToJson()));
}

int Main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "decode" && argc == 3) {
    Decode(argv[2]);
    return 0;
  }
  if (mode == "params" && argc == 3) {
    PrintParams(argv[2]);
    return 0;
  }
  if (mode == "logits" && argc == 3) {
    PrintLogits(argv[2]);
    return 0;
  }
  if (mode == "tokenizer" && argc == 4) {
    WriteTokenizer(argv[2], argv[3]);
    return 0;
  }
  std::fprintf(stderr,
               "usage: bench_gguf decode TYPE | params FILE | logits MODEL | tokenizer FILE OUT\n");
  return 2;
}

}  // namespace
}  // namespace darkhorse

int main(int argc, char** argv) {
  try {
    return darkhorse::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
