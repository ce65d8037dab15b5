// Tests only: small handmade tokenizers, and where published ones lie.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "text/byte_alphabet.h"

namespace darkhorse {

// A tokenizer.json with the 256 bytes (ids in order of their characters), then `extra` tokens.
// spec: the other fields of the file; what is missing is byte-level without any splitting.
inline nlohmann::json SmallTokenizerJson(nlohmann::json spec, const std::vector<std::string>& extra,
                                         const nlohmann::json& merges, bool ignore_merges = false) {
  using nlohmann::json;
  std::vector<std::pair<char32_t, std::string>> alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    alphabet.emplace_back(ByteAlphabet()[byte],
                          SpellBytes(std::string(1, static_cast<char>(byte))));
  }
  std::sort(alphabet.begin(), alphabet.end());
  json vocab = json::object();
  for (const auto& [character, spelling] : alphabet) vocab[spelling] = vocab.size();
  for (const std::string& token : extra) vocab[token] = vocab.size();
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  if (!spec.contains("pre_tokenizer")) spec["pre_tokenizer"] = byte_level;
  if (!spec.contains("decoder")) spec["decoder"] = byte_level;
  spec["model"] = {
      {"type", "BPE"}, {"vocab", vocab}, {"merges", merges}, {"ignore_merges", ignore_merges}};
  return spec;
}

// Where a published tokenizer lies, if it does. Its tests are skipped where it does not.
inline std::string PublishedDirectory(const std::string& name) {
  const char* shared = std::getenv("DARKHORSE_SHARED");
  const std::string root = shared != nullptr ? shared : DARKHORSE_SOURCE_DIR "/../shared";
  return root + "/data/tokenizers/" + name;
}

// The n-th random string: broken UTF-8, white space, letters and multi-byte characters mixed.
inline std::string RandomBytes(uint64_t n) {
  RandomSequence random(11, RandomStream::kTest, n);
  static const char* const kPieces[] = {
      "a",    "the",      " ",         "  ",           "\n",
      "12",   "\xC3\xA9", "e\xCC\x81", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80",
      "\xC3", "\x80",     "\xFF",      "\xED\xA0\x80", "'s",
      "<x>"};
  std::string text;
  for (uint64_t count = random.Below(24); count > 0; --count) {
    if (random.Below(3) == 0) {
      text.push_back(static_cast<char>(random.Below(256)));
    } else {
      text += kPieces[random.Below(std::size(kPieces))];
    }
  }
  return text;
}

}  // namespace darkhorse
