#include "checkpoint/gguf_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/tokenizer_parts.h"

namespace darkhorse {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";

std::string Where(const GgufKeys& keys) { return keys.name() + ": its tokenizer"; }

// A key that names a token; -1 if it is absent.
int32_t TokenKey(const GgufKeys& keys, const char* key, int64_t tokens) {
  return static_cast<int32_t>(keys.FindInt(key, 0, tokens - 1).value_or(-1));
}

std::string PreTokenizerOf(const GgufKeys& keys) {
  return std::string(keys.String("tokenizer.ggml.pre"));
}

// The token that texts begin with; -1: none.
int32_t BosOf(const GgufKeys& keys, int64_t tokens) {
  const std::optional<bool> adds = keys.FindBool("tokenizer.ggml.add_bos_token");
  if (!(adds ? *adds : AddsBosByDefault(PreTokenizerOf(keys), Where(keys)))) return -1;
  return TokenKey(keys, "tokenizer.ggml.bos_token_id", tokens);
}

}  // namespace

Tokenizer LoadGgufTokenizer(const GgufKeys& keys) {
  if (const auto model = keys.String("tokenizer.ggml.model"); model != "gpt2") {
    Fail("{}: tokenizer.ggml.model is '{}'; only 'gpt2', byte-level BPE, is supported", keys.name(),
         Printable(model));
  }
  TokenizerParts parts;
  parts.tokens = keys.Strings(kTokens);
  for (const int64_t type : keys.Ints("tokenizer.ggml.token_type", 1, 6)) {
    parts.types.push_back(static_cast<TokenType>(type));
  }
  parts.merges = keys.Strings("tokenizer.ggml.merges");
  parts.pre_tokenizer = PreTokenizerOf(keys);
  const auto tokens = static_cast<int64_t>(parts.tokens.size());
  parts.bos_id = BosOf(keys, tokens);
  if (keys.FindBool("tokenizer.ggml.add_eos_token").value_or(false)) {
    parts.eos_id = TokenKey(keys, "tokenizer.ggml.eos_token_id", tokens);
  }
  return MakeTokenizer(parts, Where(keys));
}

void SetTextEnds(const GgufKeys& keys, const Tokenizer& tokenizer, ModelConfig* config) {
  const auto tokens = static_cast<int64_t>(tokenizer.vocab_size());
  config->bos_token_id = BosOf(keys, tokens);
  config->eos_token_id = TokenKey(keys, "tokenizer.ggml.eos_token_id", tokens);
  std::vector<int64_t> stops;
  const auto add = [&](int64_t id) {
    if (id >= 0 && std::find(stops.begin(), stops.end(), id) == stops.end()) stops.push_back(id);
  };
  add(config->eos_token_id);
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    add(TokenKey(keys, key, tokens));
  }
  for (const int32_t id : EndTokens(tokenizer)) add(id);
  const bool only_eos = stops == std::vector<int64_t>{config->eos_token_id};
  config->stop_token_ids = only_eos ? std::vector<int64_t>() : std::move(stops);
}

}  // namespace darkhorse
