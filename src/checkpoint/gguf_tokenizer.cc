#include "checkpoint/gguf_tokenizer.h"

#include <fmt/format.h>

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

void WriteGgufTokenizer(const Tokenizer& tokenizer, const ModelConfig& config,
                        const ChatFormat& format, const std::string& name, GgufHead* head) {
  WrittenTokenizerParts parts = PartsOf(tokenizer, name);
  // llama.cpp asks for a token for each row of the embedding.
  parts.tokens.resize(static_cast<size_t>(config.vocab_size));
  parts.types.resize(parts.tokens.size(), TokenType::kUnused);
  std::vector<int32_t> types;
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    if (parts.types[id] == TokenType::kUnused) parts.tokens[id] = fmt::format("[PAD{}]", id);
    types.push_back(static_cast<int32_t>(parts.types[id]));
  }
  head->String("tokenizer.ggml.model", "gpt2");
  head->String("tokenizer.ggml.pre", parts.pre_tokenizer);
  head->Strings(kTokens, parts.tokens);
  head->Ints("tokenizer.ggml.token_type", types);
  head->Strings("tokenizer.ggml.merges", parts.merges);

  const auto id_of = [&](const std::string& text, int64_t other) -> int64_t {
    return tokenizer.TokenId(text).value_or(static_cast<int32_t>(other));
  };
  const int32_t start = DocumentStartToken(config);
  const int64_t bos = start >= 0 ? start : id_of(format.bos_token, -1);
  if (bos >= 0) head->Int("tokenizer.ggml.bos_token_id", bos);
  const int64_t eos = id_of(format.eos_token, config.eos_token_id);
  if (eos >= 0) head->Int("tokenizer.ggml.eos_token_id", eos);
  // What ends a text besides and is not known by its text.
  std::vector<int64_t> others;
  const std::vector<int32_t> known = EndTokens(tokenizer);
  for (const int32_t id : StopTokens(config)) {
    if (id != eos && std::find(known.begin(), known.end(), id) == known.end()) others.push_back(id);
  }
  const char* const keys[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  if (others.size() > std::size(keys)) {
    Fail(
        "{}: {} tokens end a text, more than GGUF has keys for; name fewer in "
        "generation_config.json",
        name, others.size() + 1);
  }
  for (size_t i = 0; i < others.size(); ++i) head->Int(keys[i], others[i]);
  head->Bool("tokenizer.ggml.add_bos_token", start >= 0);
  const std::vector<int32_t> around = tokenizer.Encode("", /*add_special_tokens=*/true);
  head->Bool("tokenizer.ggml.add_eos_token",
             around.size() > (tokenizer.StartToken() ? 1 : 0) && around.back() == eos);
  if (!format.chat_template.empty()) head->String("tokenizer.chat_template", format.chat_template);
}

}  // namespace darkhorse
