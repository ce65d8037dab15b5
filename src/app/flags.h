// Flags that several commands share.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <typeinfo>

#include "app/command.h"
#include "app/output.h"
#include "base/error.h"
#include "base/fields.h"
#include "infer/sampler.h"
#include "model/kv_cache.h"

namespace darkhorse {

// The largest number of sequences at once that a flag takes.
inline constexpr int64_t kMaxBatch = int64_t{1} << 16;

// What --model takes, for its help.
inline constexpr char kModelFiles[] =
    "checkpoint directory, Hugging Face folder, adapter's folder or GGUF file";

// What --tokenizer takes, likewise.
inline constexpr char kTokenizerFiles[] = "tokenizer.json, a folder that holds one, or a GGUF file";

// --json, which sets *json.
void AddJsonFlag(Command command, bool* json);

// A flag for each field of a config struct, with its help and default: "--max-tokens" for
// max_tokens, or the name that `names` has for the field: none where that is "". Returns the flags
// by field, so that a command can set limits. The struct must live until the command has run.
std::map<std::string, Flag> AddFieldFlags(Command command, const FieldList& fields,
                                          const std::map<std::string, std::string>& names = {});

// How the fields of a config struct are called by flags: what AddFieldFlags adds.
std::map<std::string, std::string> FlagNames(const FieldList& fields);

// The text with fields called by their flags: errors and notes know the names that recipes have,
// and whoever typed flags has no recipe. A name of one plain word, such as strict, counts where the
// text begins with it.
std::string WithFlags(const std::string& text, const std::map<std::string, std::string>& flags);

// Runs the body, whose Error or UsageError is told so; errors of other kinds name no fields.
template <typename Body>
void TellingFlags(const std::map<std::string, std::string>& flags, const Body& body) {
  try {
    body();
  } catch (const UsageError& error) {
    throw UsageError(WithFlags(error.what(), flags));
  } catch (const Error& error) {
    if (typeid(error) != typeid(Error)) throw;
    throw Error(WithFlags(error.what(), flags));
  }
}

// Note, told so.
Teller NoteWithFlags(std::map<std::string, std::string> flags);

// Of a folder that holds no run: that --resume has nothing to go on with, for --out may be
// misspelt, and that it holds other files.
void TellOfNoRun(const std::string& out, bool resume);

// --cache: which form of key/value cache decodes.
struct CacheFlag {
  std::string name = "expanded";

  void Register(Command command, const std::string& help);
  CacheForm form() const;
};

// --temperature, --top-k and the others.
void AddSamplingFlags(Command command, SamplingParams* sampling);

}  // namespace darkhorse
