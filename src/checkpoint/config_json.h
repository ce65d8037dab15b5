// The model's configuration as Hugging Face's config.json and generation_config.json.
#pragma once

#include <string>
#include <string_view>

#include "model/config.h"

namespace darkhorse {

// Reads a config.json of one of kModelTypes. Fields that are absent take transformers' defaults for
// that model type, save the dimensions, which must be there. Fields that change the mathematics in
// a way this program lacks (another hidden_act, a sliding window, quantized weights, ...) are
// refused; others unknown to it are ignored. The result is Validate()d. `name` is the file that an
// Error names.
ModelConfig ParseConfigJson(std::string_view text, const std::string& name);

// Error: the config has what its model_type cannot tell, such as norms of keys in a llama.
void RequireWritable(const ModelConfig& config);

// A config.json that transformers loads and ParseConfigJson reads back to an equal config.
// torch_dtype is "float32" or "bfloat16", as the weights are stored.
std::string WriteConfigJson(const ModelConfig& config, std::string_view torch_dtype);

// Takes what ends a text from a generation_config.json, which says more of it than config.json does
// and is believed, as transformers does; without an eos_token_id it says nothing. Other fields are
// ignored. Error: names the file `name`.
void ReadGenerationConfigJson(std::string_view text, const std::string& name, ModelConfig* config);

// A generation_config.json that samples as the model was trained to.
std::string WriteGenerationConfigJson(const ModelConfig& config);

}  // namespace darkhorse
