// Runs a fuzz entry point without libFuzzer: over every file of the given paths and then over N
// mutations of them, the same ones each time.
//
//   fuzz_config [--mutations N] [--only I] PATH...
//
// Any exception or crash fails. The number of the mutation at work is printed when it ends badly;
// --only repeats that one (under a debugger, say).
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using darkhorse::RandomSequence;
namespace fs = std::filesystem;

// Where a reader's arithmetic is likely to break.
const char* const kNumbers[] = {"0",          "-1",    "1",          "18446744073709551615",
                                "4294967296", "1e999", "2147483648", "9223372036854775807",
                                "null",       "0.5",   "[]",         "1e-320"};
const uint64_t kWords[] = {0, 1, 7, 8, 0x7f, 0xff, 0x7fffffff, 0xffffffff, ~0ull >> 1, ~0ull};

long current = -1;

void Report(int signal_number) {
  char text[64];
  const int size = std::snprintf(text, sizeof(text), "failed at mutation %ld\n", current);
  [[maybe_unused]] const auto ignored = write(2, text, static_cast<size_t>(size));
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void Run(const std::string& input) {
  // A copy of its own size on the heap, so that a sanitizer sees the first byte read too far.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  try {
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed at mutation %ld: %s\n", current, error.what());
    std::exit(1);
  }
}

// Replaces a run of digits.
void ReplaceNumber(std::string& text, RandomSequence& random) {
  if (text.empty()) return;
  const size_t begin = text.find_first_of("0123456789", random.Below(text.size()));
  if (begin == std::string::npos) return;
  const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
  text.replace(begin, end - begin, kNumbers[random.Below(std::size(kNumbers))]);
}

void MutateOnce(std::string& text, const std::vector<std::string>& seeds, RandomSequence& random) {
  const auto place = [&] { return static_cast<size_t>(random.Below(text.size() + 1)); };
  const size_t at = place();
  const size_t length = static_cast<size_t>(random.Below(16)) + 1;
  switch (random.Below(8)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << random.Below(8)));
      return;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(random.Below(256));
      return;
    case 2:
      text.erase(at, length);
      return;
    case 3:
      text.insert(at, text.substr(place(), length));
      return;
    case 4:
      if (random.Below(4) == 0) text.resize(at);
      return;
    case 5: {
      const uint64_t word = kWords[random.Below(std::size(kWords))];
      const size_t where = random.Below(2) ? 0 : at;  // headers begin with lengths
      for (size_t i = 0; i < 8 && where + i < text.size(); ++i) {
        text[where + i] = static_cast<char>(word >> 8 * i);
      }
      return;
    }
    case 6: {
      const std::string& other = seeds[random.Below(seeds.size())];
      const size_t from = static_cast<size_t>(random.Below(other.size() + 1));
      text.replace(at, 4 * length, other.substr(from, 4 * length));
      return;
    }
    default:
      ReplaceNumber(text, random);
  }
}

std::string Mutation(uint64_t index, const std::vector<std::string>& seeds) {
  RandomSequence random(1, darkhorse::RandomStream::kTest, index);
  std::string text = seeds[random.Below(seeds.size())];
  const uint64_t rounds = 1 + random.Below(4);
  for (uint64_t i = 0; i < rounds; ++i) MutateOnce(text, seeds, random);
  return text;
}

std::vector<std::string> ReadSeeds(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());  // directories come in no order
  std::vector<std::string> seeds;
  for (const std::string& file : files) seeds.push_back(darkhorse::ReadFile(file));
  return seeds;
}

}  // namespace

int main(int argc, char** argv) {
  long mutations = 5000, only = -1;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--mutations" && i + 1 < argc) {
      mutations = std::atol(argv[++i]);
    } else if (argument == "--only" && i + 1 < argc) {
      only = std::atol(argv[++i]);
    } else {
      paths.push_back(argument);
    }
  }
  std::vector<std::string> seeds;
  try {
    seeds = ReadSeeds(paths);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  if (seeds.empty()) {
    std::fprintf(stderr, "usage: %s [--mutations N] [--only I] PATH...; no corpus file found\n",
                 argv[0]);
    return 2;
  }
  for (const int signal_number : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS}) {
    std::signal(signal_number, Report);
  }
  if (only >= 0) {
    current = only;
    Run(Mutation(static_cast<uint64_t>(only), seeds));
    return 0;
  }
  for (const std::string& seed : seeds) Run(seed);
  for (current = 0; current < mutations; ++current) {
    Run(Mutation(static_cast<uint64_t>(current), seeds));
  }
  std::printf("%zu files and %ld mutations: no failure\n", seeds.size(), mutations);
  return 0;
}
