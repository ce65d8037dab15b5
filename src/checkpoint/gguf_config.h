// The configuration of a model in a GGUF file: what its keys and tensors say, as config.json would.
#pragma once

#include "checkpoint/gguf.h"
#include "model/config.h"

namespace darkhorse {

// Error naming the file, the key and the cure. Which tokens begin and end texts is not asked: there
// are none in the result. Of tensors only the list is needed, but for a model of
// `rope_freqs.weight`.
ModelConfig ReadGgufConfig(const GgufFiles& files);

}  // namespace darkhorse
