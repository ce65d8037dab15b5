// What darkhorse makes of GGUF's parts, for the programs in tools/ that compare it with others.
//   bench_gguf decode TYPE     blocks of ggml's type of that number on stdin, their numbers (f32)
//   on
//                              stdout: tools/make_ggml_blocks_golden.py
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/ggml_blocks.h"

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

int Main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "decode" && argc == 3) {
    Decode(argv[2]);
    return 0;
  }
  std::fprintf(stderr, "usage: bench_gguf decode TYPE\n");
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
