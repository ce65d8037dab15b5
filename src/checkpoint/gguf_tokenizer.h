// The tokenizer that a GGUF file carries, and where texts begin and end.
#pragma once

#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/model_source.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace darkhorse {

// Error naming file and key: a tokenizer that is no byte-level BPE, or whose parts do not fit.
Tokenizer LoadGgufTokenizer(const GgufKeys& keys);

// Sets bos_token_id (-1 where texts have no token of their own there), eos_token_id and
// stop_token_ids: besides the file's own, every token that is known to end a generation.
void SetTextEnds(const GgufKeys& keys, const Tokenizer& tokenizer, ModelConfig* config);

// The keys that say the same of a tokenizer, and of where texts begin and end:
// `config` is ModelSource::TextConfig. Error naming `name`: what GGUF cannot say.
void WriteGgufTokenizer(const Tokenizer& tokenizer, const ModelConfig& config,
                        const ChatFormat& format, const std::string& name, GgufHead* head);

}  // namespace darkhorse
