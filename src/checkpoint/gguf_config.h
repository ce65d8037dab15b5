// The configuration of a model in a GGUF file: what its keys and tensors say, as config.json would.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/gguf_writer.h"
#include "model/config.h"

namespace darkhorse {

// Error naming the file, the key and the cure. Which tokens begin and end texts is not asked: there
// are none in the result. Of tensors only the list is needed, but for a model of
// `rope_freqs.weight`.
ModelConfig ReadGgufConfig(const GgufFiles& files);

// The keys that say the same of a config, and the divisors of Llama 3's frequencies, which are a
// tensor: empty where there are none. Error naming `name`, the field and its value: what GGUF, or
// llama.cpp for this architecture, cannot say. Modules for multi-token prediction are left out.
std::vector<float> WriteGgufConfig(const ModelConfig& config, const std::string& name,
                                   GgufHead* head);

}  // namespace darkhorse
