// tokenizer.json of Hugging Face's `tokenizers`: the reader. tokenizer_write.cc has the writer.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"
#include "text/tokenizer_data.h"

namespace darkhorse {

namespace {

using nlohmann::json;

constexpr int64_t kMaxFileBytes = 256 << 20;
constexpr int kMaxDepth = 64;
constexpr size_t kMaxAddedTokenBytes = 1024;
constexpr size_t kMaxPreTokenizerSteps = 256;

// A value of the file and where it stands there, for errors.
struct Field {
  const json& value;
  std::string where;

  bool Has(const char* key) const { return value.contains(key) && !value[key].is_null(); }

  Field operator[](const char* key) const {
    if (!value.is_object()) Fail("{} must be an object, not {}", where, value.type_name());
    if (!value.contains(key)) {
      Fail("{} has no field \"{}\": the file is cut short or no byte-level BPE tokenizer", where,
           key);
    }
    return {value[key], where + "." + key};
  }

  Field At(size_t index) const { return {value[index], where + "[" + std::to_string(index) + "]"}; }

  const std::string& String() const {
    if (!value.is_string()) Fail("{} must be a string, not {}", where, value.type_name());
    return value.get_ref<const std::string&>();
  }

  // How many elements the array has.
  size_t ArraySize() const {
    if (!value.is_array()) Fail("{} must be an array, not {}", where, value.type_name());
    return value.size();
  }

  bool BoolOr(const char* key, bool otherwise) const {
    if (!Has(key)) return otherwise;
    const Field field = (*this)[key];
    if (!field.value.is_boolean()) {
      Fail("{} must be true or false, not {}", field.where, field.value.type_name());
    }
    return field.value.get<bool>();
  }

  int32_t Id(int64_t limit) const {
    if (!value.is_number_integer())
      Fail("{} must be a whole number, not {}", where, value.type_name());
    const bool fits = value.is_number_unsigned()
                          ? value.get<uint64_t>() < static_cast<uint64_t>(limit)
                          : value.get<int64_t>() >= 0;
    if (!fits) {
      Fail("{} is {}: ids must be at least 0 and below {} (about twice the number of tokens)",
           where, value.dump(), limit);
    }
    return value.get<int32_t>();
  }
};

[[noreturn]] void FailUnsupported(const Field& type, const char* supported) {
  Fail("{} is \"{}\", which is not supported; supported: {}", type.where, type.String(), supported);
}

class Reader {
 public:
  explicit Reader(const json& root, const std::string& name)
      : root_{root, name}, data_(std::make_shared<TokenizerData>()) {}

  std::shared_ptr<const TokenizerData> Read() {
    if (!root_.value.is_object()) Fail("{}: must hold a JSON object", root_.where);
    ReadVocabulary();
    ReadAddedTokens();
    ReadMerges();
    ReadNormalizer(Optional("normalizer"));
    ReadPreTokenizers();
    CheckDecoder();
    ReadPostProcessor(Optional("post_processor"));
    KeepOtherFields();
    BuildMatchers();
    static std::atomic<uint64_t> serial{0};
    data_->serial = ++serial;
    return data_;
  }

 private:
  Field Optional(const char* key) const {
    static const json null;
    return {root_.Has(key) ? root_.value[key] : null, root_.where + ": " + key};
  }
  Field Required(const char* key) const {
    if (!root_.Has(key)) {
      Fail("{}: no field \"{}\": the file is cut short or no byte-level BPE tokenizer", root_.where,
           key);
    }
    return Optional(key);
  }

  // Adds a token, or checks that the one of that content has that id.
  TokenizerData::Token& Place(const std::string& content, const Field& id_field) {
    const int32_t id = id_field.Id(id_limit_);
    if (id >= static_cast<int64_t>(data_->tokens.size())) data_->tokens.resize(id + 1);
    TokenizerData::Token& token = data_->tokens[id];
    const auto [at, fresh] = data_->ids.emplace(content, id);
    if (at->second != id) {
      Fail("{} gives the token \"{}\" the id {}, but it already has the id {}", id_field.where,
           content, id, at->second);
    }
    if (fresh && !token.content.empty()) {
      Fail("{} gives the token \"{}\" the id {}, which \"{}\" already has", id_field.where, content,
           id, token.content);
    }
    token.content = content;
    return token;
  }

  void ReadVocabulary() {
    const Field model = Required("model");
    if (model.Has("type") && model["type"].String() != "BPE")
      FailUnsupported(model["type"], "\"BPE\"");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (model.Has(key) && !model[key].String().empty()) {
        Fail("{} is not empty: byte-level BPE has none", model[key].where);
      }
    }
    if (model.Has("dropout") && model["dropout"].value != 0) {
      Fail("{} is set: set it to null, for ids that are the same every time",
           model["dropout"].where);
    }
    data_->ignore_merges = model.BoolOr("ignore_merges", false);
    const Field vocab = model["vocab"];
    if (!vocab.value.is_object()) Fail("{} must be an object of tokens and their ids", vocab.where);
    const size_t added = root_.Has("added_tokens") ? root_.value["added_tokens"].size() : 0;
    id_limit_ = static_cast<int64_t>(2 * (vocab.value.size() + added) + 1024);
    for (const auto& [content, id] : vocab.value.items()) {
      if (content.empty()) Fail("{} has an empty token", vocab.where);
      TokenizerData::Token& token = Place(content, Field{id, vocab.where});
      token.in_vocab = true;
      // Entries outside the byte alphabet are added tokens; they stand for themselves.
      token.bytes = UnspellBytes(content).value_or(content);
    }
  }

  void ReadAddedTokens() {
    const Field list = Optional("added_tokens");
    if (list.value.is_null()) return;
    for (size_t i = 0; i < list.ArraySize(); ++i) {
      const Field item = list.At(i);
      AddedToken added;
      added.content = item["content"].String();
      if (added.content.empty() || added.content.size() > kMaxAddedTokenBytes) {
        Fail("{}.content must have 1 to {} bytes, not {}", item.where, kMaxAddedTokenBytes,
             added.content.size());
      }
      added.special = item.BoolOr("special", false);
      added.single_word = item.BoolOr("single_word", false);
      added.lstrip = item.BoolOr("lstrip", false);
      added.rstrip = item.BoolOr("rstrip", false);
      added.normalized = item.BoolOr("normalized", !added.special);
      TokenizerData::Token& token = Place(added.content, item["id"]);
      added.id = data_->ids.at(added.content);
      token.bytes = added.content;
      token.special |= added.special;
      data_->added.push_back(std::move(added));
    }
    std::stable_sort(data_->added.begin(), data_->added.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    // As the package has it: of a token listed twice the last counts, and once special is always.
    std::vector<AddedToken> once;
    for (AddedToken& added : data_->added) {
      added.special = data_->tokens[added.id].special;
      if (!once.empty() && once.back().id == added.id) once.pop_back();
      once.push_back(std::move(added));
    }
    data_->added = std::move(once);
  }

  int32_t VocabId(const std::string& content, const Field& where) const {
    const auto found = data_->ids.find(content);
    if (found == data_->ids.end() || !data_->tokens[found->second].in_vocab) {
      Fail("{} needs the token \"{}\", which is not in the vocabulary", where.where, content);
    }
    return found->second;
  }

  // Both spellings of the format: "a b" (before tokenizers 0.20) and ["a", "b"].
  static std::pair<std::string, std::string> MergeParts(const Field& item) {
    if (item.value.is_array() && item.value.size() == 2)
      return {item.At(0).String(), item.At(1).String()};
    if (item.value.is_string()) {
      const std::string& both = item.String();
      const size_t space = both.find(' ');
      if (space != std::string::npos && both.find(' ', space + 1) == std::string::npos) {
        return {both.substr(0, space), both.substr(space + 1)};
      }
    }
    Fail("{} must be two tokens: \"a b\" or [\"a\", \"b\"]", item.where);
  }

  // The token of a byte that has none of its own: unk_token, or -1: it is left out.
  int32_t UnknownByteId(const Field& model) const {
    if (!model.Has("unk_token")) return -1;
    if (model.BoolOr("fuse_unk", false)) {
      Fail("{} is true, and bytes have no token: that is supported only with fuse_unk = false",
           model["fuse_unk"].where);
    }
    return VocabId(model["unk_token"].String(), model["unk_token"]);
  }

  void ReadMerges() {
    const Field model = Required("model");
    const Field list = model["merges"];
    const size_t count = list.ArraySize();
    data_->merges.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      const Field item = list.At(i);
      const auto [left, right] = MergeParts(item);
      data_->merges.push_back(
          {VocabId(left, item), VocabId(right, item), VocabId(left + right, item)});
    }
    std::vector<int32_t> byte_ids;
    for (int byte = 0; byte < 256; ++byte) {
      const std::string spelling = SpellBytes(std::string(1, static_cast<char>(byte)));
      const auto found = data_->ids.find(spelling);
      const bool known = found != data_->ids.end() && data_->tokens[found->second].in_vocab;
      byte_ids.push_back(known ? found->second : UnknownByteId(model));
    }
    data_->bpe = BpeModel(byte_ids, data_->merges);
    if (!data_->ignore_merges) return;
    for (size_t id = 0; id < data_->tokens.size(); ++id) {
      const TokenizerData::Token& token = data_->tokens[id];
      if (!token.in_vocab) continue;
      if (const auto bytes = UnspellBytes(token.content)) {
        data_->whole_words.emplace(*bytes, static_cast<int32_t>(id));
      }
    }
    // A control token is found by its matcher or not at all: plain text must never become one.
    for (const AddedToken& added : data_->added) data_->whole_words.erase(added.content);
  }

  void ReadNormalizer(const Field& normalizer) {
    if (normalizer.value.is_null()) return;
    const Field type = normalizer["type"];
    const std::string& name = type.String();
    if (name == "Sequence") {
      const Field list = normalizer["normalizers"];
      for (size_t i = 0; i < list.ArraySize(); ++i) ReadNormalizer(list.At(i));
    } else if (name == "NFC") {
      data_->normal_forms.push_back(NormalForm::kNfc);
    } else if (name == "NFD") {
      data_->normal_forms.push_back(NormalForm::kNfd);
    } else if (name == "NFKC") {
      data_->normal_forms.push_back(NormalForm::kNfkc);
    } else if (name == "NFKD") {
      data_->normal_forms.push_back(NormalForm::kNfkd);
    } else {
      FailUnsupported(type, "Sequence, NFC, NFD, NFKC, NFKD");
    }
  }

  void ReadPreTokenizers() {
    const Field top = Optional("pre_tokenizer");
    bool byte_level = false;
    if (!top.value.is_null()) ReadPreTokenizer(top, &byte_level);
    if (!byte_level) {
      Fail("{} has no ByteLevel: only byte-level BPE tokenizers are supported", top.where);
    }
  }

  void ReadPreTokenizer(const Field& step, bool* byte_level) {
    const Field type = step["type"];
    const std::string& name = type.String();
    if (*byte_level) Fail("{} comes after ByteLevel, which must be the last", step.where);
    if (data_->pre_tokenizer.steps() >= kMaxPreTokenizerSteps) {
      Fail("{} is one step too many: at most {} are supported", step.where, kMaxPreTokenizerSteps);
    }
    if (name == "Sequence") {
      const Field list = step["pretokenizers"];
      for (size_t i = 0; i < list.ArraySize(); ++i) ReadPreTokenizer(list.At(i), byte_level);
    } else if (name == "Split") {
      ReadSplit(step);
    } else if (name == "Digits") {
      const bool single = step.BoolOr("individual_digits", false);
      data_->pre_tokenizer.AddSplit(Regex("\\p{N}", step.where),
                                    single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                                    false);
    } else if (name == "ByteLevel") {
      *byte_level = true;
      if (step.BoolOr("add_prefix_space", true)) data_->pre_tokenizer.AddPrefixSpace();
      if (step.BoolOr("use_regex", true)) {
        data_->pre_tokenizer.AddSplit(Regex(kGpt2Pattern, step.where), SplitBehavior::kIsolated,
                                      false);
      }
    } else {
      FailUnsupported(type, "Sequence, Split, Digits, ByteLevel");
    }
  }

  void ReadSplit(const Field& step) {
    static constexpr std::pair<const char*, SplitBehavior> kBehaviors[] = {
        {"Isolated", SplitBehavior::kIsolated},
        {"Removed", SplitBehavior::kRemoved},
        {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
        {"MergedWithNext", SplitBehavior::kMergedWithNext},
        {"Contiguous", SplitBehavior::kContiguous}};
    const Field pattern = step["pattern"];
    std::string regex;
    if (pattern.Has("Regex")) {
      regex = pattern["Regex"].String();
    } else {
      for (const char c : pattern["String"].String()) {
        if (std::string_view("\\^$.|?*+()[]{}-#&~ ").find(c) != std::string_view::npos)
          regex += '\\';
        regex += c;
      }
    }
    const Field behavior = step["behavior"];
    for (const auto& [name, value] : kBehaviors) {
      if (behavior.String() != name) continue;
      data_->pre_tokenizer.AddSplit(Regex(regex, pattern.where), value,
                                    step.BoolOr("invert", false));
      return;
    }
    FailUnsupported(behavior, "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
  }

  // A file without a decoder is decoded as one with ByteLevel: its tokens are bytes all the same.
  void CheckDecoder() const {
    const Field decoder = Optional("decoder");
    bool byte_level = false;
    if (decoder.value.is_null()) return;
    CheckDecoder(decoder, &byte_level);
    if (!byte_level) Fail("{} has no ByteLevel, which byte-level tokens need", decoder.where);
  }

  void CheckDecoder(const Field& decoder, bool* byte_level) const {
    const Field type = decoder["type"];
    const std::string& name = type.String();
    if (name == "Sequence") {
      const Field list = decoder["decoders"];
      for (size_t i = 0; i < list.ArraySize(); ++i) CheckDecoder(list.At(i), byte_level);
    } else if (name == "ByteLevel" && !*byte_level) {
      *byte_level = true;
    } else if (name != "Fuse" || !*byte_level) {  // behind ByteLevel there is one piece anyway
      FailUnsupported(type, "ByteLevel once, and Fuse behind it");
    }
  }

  void ReadPostProcessor(const Field& processor) {
    if (processor.value.is_null()) return;
    const Field type = processor["type"];
    const std::string& name = type.String();
    if (name == "Sequence") {
      const Field list = processor["processors"];
      for (size_t i = 0; i < list.ArraySize(); ++i) ReadPostProcessor(list.At(i));
    } else if (name == "TemplateProcessing") {
      ReadTemplate(processor);
      template_seen_ = true;
    } else if (name == "RobertaProcessing" || name == "BertProcessing") {
      // The package would put them around each token of the template.
      if (template_seen_) Fail("{} comes after a TemplateProcessing", processor.where);
      data_->prefix_ids.insert(data_->prefix_ids.begin(), IdOfPair(processor["cls"]));
      data_->suffix_ids.push_back(IdOfPair(processor["sep"]));
    } else if (name != "ByteLevel") {  // ByteLevel moves offsets only
      FailUnsupported(type,
                      "Sequence, TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel");
    }
  }

  // Of ["</s>", 2].
  int32_t IdOfPair(const Field& pair) const {
    if (pair.ArraySize() != 2) Fail("{} must be a token and its id", pair.where);
    return pair.At(1).Id(static_cast<int64_t>(data_->tokens.size()));
  }

  void ReadTemplate(const Field& processor) {
    const Field single = processor["single"];
    std::vector<int32_t> before, after;
    bool text_seen = false;
    for (size_t i = 0; i < single.ArraySize(); ++i) {
      const Field item = single.At(i);
      if (item.Has("Sequence")) {
        if (text_seen) Fail("{} uses the text twice", single.where);
        text_seen = true;
        continue;
      }
      const std::string& name = item["SpecialToken"]["id"].String();
      const Field ids = processor["special_tokens"][name.c_str()]["ids"];
      for (size_t k = 0; k < ids.ArraySize(); ++k) {
        (text_seen ? after : before)
            .push_back(ids.At(k).Id(static_cast<int64_t>(data_->tokens.size())));
      }
    }
    if (!text_seen) Fail("{} leaves the text out", single.where);
    data_->prefix_ids.insert(data_->prefix_ids.begin(), before.begin(), before.end());
    data_->suffix_ids.insert(data_->suffix_ids.end(), after.begin(), after.end());
  }

  void KeepOtherFields() {
    data_->truncation = Optional("truncation").value.dump();
    data_->padding = Optional("padding").value.dump();
    data_->normalizer_json = Optional("normalizer").value.dump();
    data_->pre_tokenizer_json = Optional("pre_tokenizer").value.dump();
    data_->post_processor_json = Optional("post_processor").value.dump();
    data_->decoder_json = Optional("decoder").value.dump();
    json model = json::object();
    for (const auto& [key, value] : root_.value["model"].items()) {
      if (key != "type" && key != "vocab" && key != "merges") model[key] = value;
    }
    data_->model_json = model.dump();
  }

  void BuildMatchers() {
    std::string buffer;
    for (const AddedToken& added : data_->added) {
      if (added.normalized) {
        const std::string_view content = Normalize(data_->normal_forms, added.content, &buffer);
        data_->normalized_matcher.Add(added, std::string(content));
      } else {
        data_->raw_matcher.Add(added, added.content);
      }
    }
  }

  Field root_;
  std::shared_ptr<TokenizerData> data_;
  int64_t id_limit_ = 0;
  bool template_seen_ = false;
};

}  // namespace

std::shared_ptr<const TokenizerData> ReadTokenizer(const json& root, const std::string& name) {
  return Reader(root, name).Read();
}

Tokenizer Tokenizer::FromJson(std::string_view text, const std::string& name_for_errors) {
  if (static_cast<int64_t>(text.size()) > kMaxFileBytes) {
    Fail("{}: {} bytes are more than the {} a tokenizer.json may have", name_for_errors,
         text.size(), kMaxFileBytes);
  }
  return Tokenizer(ReadTokenizer(ParseJson(text, name_for_errors, kMaxDepth), name_for_errors));
}

Tokenizer Tokenizer::Load(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string file =
      fs::is_directory(path, ignored) ? (fs::path(path) / "tokenizer.json").string() : path;
  return FromJson(ReadFile(file, kMaxFileBytes), file);
}

}  // namespace darkhorse
