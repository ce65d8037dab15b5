// The model's configuration as Hugging Face's config.json.
#pragma once

#include <string>
#include <string_view>

#include "model/config.h"

namespace darkhorse {

// Reads a config.json of deepseek_v3 or deepseek_v2. Fields that are absent take transformers'
// defaults for that model type, save the dimensions, which must be there. Fields that change the
// mathematics in a way this program lacks (attention_bias, another hidden_act, quantized weights,
// ...) are refused; others unknown to it are ignored. The result is Validate()d. `name` is the file
// that an Error names.
ModelConfig ParseConfigJson(std::string_view text, const std::string& name);

// A config.json that transformers loads and ParseConfigJson reads back to an equal config.
// torch_dtype is "float32" or "bfloat16", as the weights are stored.
std::string WriteConfigJson(const ModelConfig& config, std::string_view torch_dtype);

}  // namespace darkhorse
