// tokenizer.json of Hugging Face's `tokenizers`: the writer.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "text/tokenizer.h"
#include "text/tokenizer_data.h"

namespace darkhorse {

namespace {

using nlohmann::json;

// A list with one element a line, so that files can be compared line by line.
class Lines {
 public:
  explicit Lines(std::string* out) : out_(out) {}
  void Add(const std::string& element) {
    *out_ += first_ ? "\n" : ",\n";
    *out_ += element;
    first_ = false;
  }

 private:
  std::string* out_;
  bool first_ = true;
};

std::string Quoted(const std::string& text) { return json(text).dump(); }

}  // namespace

std::string Tokenizer::ToJson() const {
  const TokenizerData& data = *data_;
  std::string out = "{\n\"version\": \"1.0\",\n";
  out += "\"truncation\": " + data.truncation + ",\n\"padding\": " + data.padding + ",\n";
  out += "\"added_tokens\": [";
  Lines added_lines(&out);
  for (const AddedToken& added : data.added) {
    added_lines.Add(
        fmt::format(R"({{"id": {}, "content": {}, "single_word": {}, "lstrip": {}, "rstrip": {}, )"
                    R"("normalized": {}, "special": {}}})",
                    added.id, Quoted(added.content), added.single_word, added.lstrip, added.rstrip,
                    added.normalized, added.special));
  }
  out += "],\n\"normalizer\": " + data.normalizer_json;
  out += ",\n\"pre_tokenizer\": " + data.pre_tokenizer_json;
  out += ",\n\"post_processor\": " + data.post_processor_json;
  out += ",\n\"decoder\": " + data.decoder_json;
  out += ",\n\"model\": {\"type\": \"BPE\"";
  const json model = json::parse(data.model_json);
  for (const auto& [key, value] : model.items()) out += ", " + Quoted(key) + ": " + value.dump();
  out += ",\n\"vocab\": {";
  Lines vocab_lines(&out);
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (data.tokens[id].in_vocab)
      vocab_lines.Add(Quoted(data.tokens[id].content) + ": " + std::to_string(id));
  }
  out += "},\n\"merges\": [";
  Lines merge_lines(&out);
  for (const Merge& merge : data.merges) {
    merge_lines.Add("[" + Quoted(data.tokens[merge.left].content) + ", " +
                    Quoted(data.tokens[merge.right].content) + "]");
  }
  out += "]}\n}\n";
  return out;
}

}  // namespace darkhorse
