// Speed of the tokenizer on one thread, and of training on all. bench/bench_tokenizer.py times the
// `tokenizers` package on the same file.
//   bench_tokenizer encode TOKENIZER.json TEXT   megabytes a second, median of 5 runs
//   bench_tokenizer train VOCAB_SIZE TEXT [OUT.json]
//   bench_tokenizer ids TOKENIZER.json           for tools/tokenizer_compare.py: texts on stdin,
//   ids
//       on stdout, each after its length as 4 bytes; then the decoded text the same way
//   bench_tokenizer rewrite TOKENIZER.json OUT   reads and writes
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

// Documents of about 4 kB, cut at newlines, as both programs time them.
std::vector<std::string> Documents(const std::string& text) {
  std::vector<std::string> documents;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(begin + 4096, text.size());
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
    documents.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return documents;
}

void BenchEncode(const char* tokenizer_path, const char* text_path) {
  const double load_start = SteadySeconds();
  const Tokenizer tokenizer = Tokenizer::Load(tokenizer_path);
  const double load = SteadySeconds() - load_start;
  const std::string text = ReadFile(text_path);
  const std::vector<std::string> documents = Documents(text);
  std::vector<double> speeds;
  size_t tokens = 0;
  for (int run = 0; run < 5; ++run) {
    tokens = 0;
    const double start = SteadySeconds();
    for (const std::string& document : documents) tokens += tokenizer.Encode(document).size();
    speeds.push_back(static_cast<double>(text.size()) / 1e6 / (SteadySeconds() - start));
  }
  std::sort(speeds.begin(), speeds.end());
  std::printf("load %.2f s, encode %.1f MB/s, %zu tokens\n", load, speeds[2], tokens);
}

void BenchTrain(const char* vocab_size, const char* text_path, const char* out_path) {
  const std::vector<std::string> documents = Documents(ReadFile(text_path));
  TokenizerTrainOptions options;
  options.vocab_size = std::atoi(vocab_size);
  const double start = SteadySeconds();
  double counted = start;
  const auto progress = [&](const char* phase, int64_t, int64_t) {
    if (std::strcmp(phase, "count") == 0) counted = SteadySeconds();
  };
  const Tokenizer tokenizer = TrainTokenizer(documents, options, progress);
  const double end = SteadySeconds();
  std::printf("train %d tokens on %d threads: %.2f s (counting %.2f s)\n", tokenizer.vocab_size(),
              NumThreads(), end - start, counted - start);
  if (out_path != nullptr) WriteFileAtomically(out_path, std::string_view(tokenizer.ToJson()));
}

template <typename T>
void WriteCounted(const T* data, size_t count) {
  const auto size = static_cast<uint32_t>(count);
  std::fwrite(&size, sizeof size, 1, stdout);
  std::fwrite(data, sizeof(T), count, stdout);
}

void PrintIds(const char* tokenizer_path) {
  const Tokenizer tokenizer = Tokenizer::Load(tokenizer_path);
  uint32_t size = 0;
  while (std::fread(&size, sizeof size, 1, stdin) == 1) {
    std::string text(size, '\0');
    if (std::fread(text.data(), 1, size, stdin) != size) Fail("stdin ends inside a text");
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    WriteCounted(ids.data(), ids.size());
    const std::string decoded = tokenizer.Decode(ids);
    WriteCounted(decoded.data(), decoded.size());
  }
}

}  // namespace
}  // namespace darkhorse

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::strcmp(argv[1], "encode") == 0) {
      darkhorse::BenchEncode(argv[2], argv[3]);
    } else if ((argc == 4 || argc == 5) && std::strcmp(argv[1], "train") == 0) {
      darkhorse::BenchTrain(argv[2], argv[3], argc == 5 ? argv[4] : nullptr);
    } else if (argc == 3 && std::strcmp(argv[1], "ids") == 0) {
      darkhorse::PrintIds(argv[2]);
    } else if (argc == 4 && std::strcmp(argv[1], "rewrite") == 0) {
      darkhorse::WriteFileAtomically(
          argv[3], std::string_view(darkhorse::Tokenizer::Load(argv[2]).ToJson()));
    } else {
      std::fprintf(stderr,
                   "usage: bench_tokenizer encode TOKENIZER TEXT | train VOCAB_SIZE TEXT [OUT] | "
                   "ids TOKENIZER | "
                   "rewrite TOKENIZER OUT\n");
      return 2;
    }
  } catch (const darkhorse::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
