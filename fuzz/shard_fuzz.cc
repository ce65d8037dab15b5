// Attacks the reader of token shards: whatever the bytes, it returns a shard that can be read from
// end to end, or throws Error.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "data/loader.h"
#include "data/shard.h"

namespace darkhorse {
namespace {

void ReadShard(std::span<const std::byte> bytes) {
  try {
    const TokenShard shard = TokenShard::Parse(bytes, "fuzz");
    std::vector<int32_t> document;
    for (int64_t d = 0; d < shard.documents(); ++d) {
      document.resize(shard.DocumentBegin(d + 1) - shard.DocumentBegin(d));
      shard.Copy(shard.DocumentBegin(d), static_cast<int64_t>(document.size()), document.data());
      for (const int32_t token : document) CHECK(token >= 0 && token < shard.info().vocab_size);
    }
    LoaderOptions options;
    options.sequence_length = 7;
    const Loader loader(shard, "fuzz", options);
    CHECK(loader.Sequences(loader.sequences_per_epoch() - 1, 2).rows() == 14);
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace darkhorse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  darkhorse::ReadShard(bytes);
  // Hardly any mutation keeps the checksum; with it made right the checks behind it are reached.
  std::vector<std::byte> sealed(bytes.begin(), bytes.end());
  darkhorse::SealShard(sealed);
  darkhorse::ReadShard(sealed);
  return 0;
}
