// A tokenizer from its parts, as files hold them that are no tokenizer.json: tokens by id with
// their types, merges, and the name of how text is cut into words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace darkhorse {

// The values are GGUF's.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // found in trusted text alone
  kUserDefined = 4,  // the same, but part of what was said: "<tool_call>"
  kUnused = 5,       // no token: its id is a filler of the embedding
  kByte = 6,
};

struct TokenizerParts {
  std::vector<std::string_view> tokens;  // by id, spelled in the byte alphabet ("Ġthe")
  std::vector<TokenType> types;          // as many
  std::vector<std::string_view> merges;  // "Ġ the", best rank first
  // How text is cut into words, by llama.cpp's name of it ("qwen2").
  std::string pre_tokenizer;
  // What Encode(..., add_special_tokens) puts around a text; -1: nothing.
  int32_t bos_id = -1, eos_id = -1;
};

// Error naming `name` and what is wrong: parts that do not fit together, an unknown way of cutting,
// or a control token that plain text would become.
Tokenizer MakeTokenizer(const TokenizerParts& parts, const std::string& name);

// The same of a tokenizer, as far as it has them: no bos_id and eos_id. An id without a token is
// kUnused and has no text.
struct WrittenTokenizerParts {
  std::vector<std::string> tokens, merges;
  std::vector<TokenType> types;
  std::string pre_tokenizer;
};
// Error naming `name`: the tokenizer cuts text in a way that has no name, or has an added token
// that takes white space with it, which parts cannot say.
WrittenTokenizerParts PartsOf(const Tokenizer& tokenizer, const std::string& name);

// Whether texts begin with the beginning-of-text token where a file does not say. Error as above.
bool AddsBosByDefault(const std::string& pre_tokenizer, const std::string& name);

// The special tokens whose text is known to end a generation, in the order of their ids: published
// models end with one or another of them whatever single id their files name.
std::vector<int32_t> EndTokens(const Tokenizer& tokenizer);

}  // namespace darkhorse
