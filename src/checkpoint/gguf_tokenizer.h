// The tokenizer that a GGUF file carries, and where texts begin and end.
#pragma once

#include "checkpoint/gguf_keys.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace darkhorse {

// Error naming file and key: a tokenizer that is no byte-level BPE, or whose parts do not fit.
Tokenizer LoadGgufTokenizer(const GgufKeys& keys);

// Sets bos_token_id (-1 where texts have no token of their own there), eos_token_id and
// stop_token_ids: besides the file's own, every token that is known to end a generation.
void SetTextEnds(const GgufKeys& keys, const Tokenizer& tokenizer, ModelConfig* config);

}  // namespace darkhorse
