#include "checkpoint/gguf_source.h"

#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_tokenizer.h"

namespace darkhorse {

GgufSource::GgufSource(std::unique_ptr<const GgufFiles> files)
    : ModelSource(files->path(), ReadGgufConfig(*files)),
      files_(std::move(files)),
      tensors_(*files_) {
  tensors_.CheckLayout(ParamLayout(config()));
}

Tokenizer GgufSource::ReadTokenizer() const {
  Tokenizer tokenizer = LoadGgufTokenizer(files_->keys());
  tokenizer.CheckEmbedded(config().vocab_size, path(),
                          "convert the model again, or fetch another file");
  return tokenizer;
}

std::string GgufSource::TokenizerJson(const Tokenizer& tokenizer) const {
  return tokenizer.ToJson();
}

ModelConfig GgufSource::TextConfig(const Tokenizer& tokenizer) const {
  ModelConfig text = config();
  SetTextEnds(files_->keys(), tokenizer, &text);
  return text;
}

ChatFormat GgufSource::ReadChatFormat() const {
  const GgufKeys& keys = files_->keys();
  const auto tokens = keys.FindStrings("tokenizer.ggml.tokens");
  const auto text = [&](const char* key) -> std::string {
    if (!tokens || tokens->empty()) return "";
    const auto id = keys.FindInt(key, 0, static_cast<int64_t>(tokens->size()) - 1);
    return id ? std::string((*tokens)[static_cast<size_t>(*id)]) : "";
  };
  return {std::string(keys.FindString("tokenizer.chat_template").value_or("")),
          text("tokenizer.ggml.bos_token_id"), text("tokenizer.ggml.eos_token_id")};
}

}  // namespace darkhorse
