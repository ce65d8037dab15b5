// Any bytes as a tokenizer.json: an Error or a tokenizer that encodes, decodes and writes itself
// back.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darkhorse;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const Tokenizer tokenizer = Tokenizer::FromJson(json, "fuzz");
    const std::string_view text =
        "the <x> 123\n\n  \xFF\xC3 e\xCC\x81 \xE4\xBD\xA0\xE5\xA5\xBD aaaaaaaaaab";
    std::vector<int32_t> ids = tokenizer.Encode(text, /*add_special_tokens=*/true);
    tokenizer.Encode(text, &ids, /*allow_special=*/false);
    for (const int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocab_size());
    tokenizer.Decode(ids, /*skip_special_tokens=*/true);
    // What was accepted must be writable and read back as the same tokenizer.
    const Tokenizer again = Tokenizer::FromJson(tokenizer.ToJson(), "written");
    CHECK(again.hash() == tokenizer.hash());
    CHECK(again.Encode(text, true) == tokenizer.Encode(text, true));
  } catch (const Error&) {
  }
  return 0;
}
