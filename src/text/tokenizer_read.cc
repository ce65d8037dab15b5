// tokenizer.json of Hugging Face's `tokenizers`: the reader. tokenizer_write.cc has the writer.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
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

int32_t CheckedId(int64_t id, int64_t limit, const std::string& where) {
  if (id < 0 || id >= limit) {
    Fail("{} is {}: ids must be at least 0 and below {} (about twice the number of tokens)", where,
         id, limit);
  }
  return static_cast<int32_t>(id);
}

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

  int64_t Integer() const {
    if (!value.is_number_integer())
      Fail("{} must be a whole number, not {}", where, value.type_name());
    if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)
      Fail("{} is {}, beyond any id", where, value.dump());
    return value.get<int64_t>();
  }
  int32_t Id(int64_t limit) const { return CheckedId(Integer(), limit, where); }
};

[[noreturn]] void FailUnsupported(const Field& type, const char* supported) {
  Fail("{} is \"{}\", which is not supported; supported: {}", type.where, type.String(), supported);
}

class Reader {
 public:
  Reader(const json& root, const std::string& name, const VocabularyLists* lists)
      : root_{root, name}, lists_(lists), data_(std::make_shared<TokenizerData>()) {}

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
  TokenizerData::Token& Place(std::string_view content, int64_t any_id, const std::string& where) {
    const int32_t id = CheckedId(any_id, id_limit_, where);
    if (id >= static_cast<int64_t>(data_->tokens.size())) data_->tokens.resize(id + 1);
    TokenizerData::Token& token = data_->tokens[id];
    const auto [at, fresh] = data_->ids.emplace(content, id);
    if (at->second != id) {
      Fail("{} gives the token \"{}\" the id {}, but it already has the id {}", where, content, id,
           at->second);
    }
    if (fresh && !token.content.empty()) {
      Fail("{} gives the token \"{}\" the id {}, which \"{}\" already has", where, content, id,
           token.content);
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
    const std::string where = model.where + ".vocab";
    const auto tokens = lists_ ? lists_->tokens : TokensOf(model["vocab"]);
    const size_t added = root_.Has("added_tokens") ? root_.value["added_tokens"].size() : 0;
    id_limit_ = static_cast<int64_t>(2 * (tokens.size() + added) + 1024);
    data_->tokens.reserve(tokens.size() + added);
    data_->ids.reserve(tokens.size() + added);
    for (const auto& [content, id] : tokens) {
      if (content.empty()) Fail("{} has an empty token", where);
      TokenizerData::Token& token = Place(content, id, where);
      token.in_vocab = true;
      // Entries outside the byte alphabet are added tokens; they stand for themselves.
      token.bytes = UnspellBytes(content).value_or(token.content);
    }
  }

  static std::vector<std::pair<std::string_view, int64_t>> TokensOf(const Field& vocab) {
    if (!vocab.value.is_object()) Fail("{} must be an object of tokens and their ids", vocab.where);
    std::vector<std::pair<std::string_view, int64_t>> tokens;
    tokens.reserve(vocab.value.size());
    for (const auto& [content, id] : vocab.value.get_ref<const json::object_t&>())
      tokens.emplace_back(content, Field{id, vocab.where}.Integer());
    return tokens;
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
      TokenizerData::Token& token = Place(added.content, item["id"].Integer(), item["id"].where);
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

  // -1: there is none.
  int32_t FindVocabId(std::string_view content) const {
    const auto found = data_->ids.find(content);
    if (found == data_->ids.end() || !data_->tokens[found->second].in_vocab) return -1;
    return found->second;
  }
  int32_t VocabId(std::string_view content, const std::string& where) const {
    const int32_t id = FindVocabId(content);
    if (id < 0) Fail("{} needs the token \"{}\", which is not in the vocabulary", where, content);
    return id;
  }

  // Both spellings of the format: "a b" (before tokenizers 0.20) and ["a", "b"].
  static std::vector<std::pair<std::string_view, std::string_view>> MergesOf(const Field& list) {
    std::vector<std::pair<std::string_view, std::string_view>> merges;
    merges.reserve(list.ArraySize());
    for (const json& item : list.value) {
      if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        merges.emplace_back(item[0].get_ref<const std::string&>(),
                            item[1].get_ref<const std::string&>());
      } else if (const auto parts = item.is_string()
                                        ? MergeParts(item.get_ref<const std::string&>())
                                        : std::nullopt) {
        merges.push_back(*parts);
      } else {
        Fail("{} must be two tokens: \"a b\" or [\"a\", \"b\"]", list.At(merges.size()).where);
      }
    }
    return merges;
  }

  // The token of a byte that has none of its own: unk_token, or -1: it is left out.
  int32_t UnknownByteId(const Field& model) const {
    if (!model.Has("unk_token")) return -1;
    if (model.BoolOr("fuse_unk", false)) {
      Fail("{} is true, and bytes have no token: that is supported only with fuse_unk = false",
           model["fuse_unk"].where);
    }
    return VocabId(model["unk_token"].String(), model["unk_token"].where);
  }

  void ReadMerges() {
    const Field model = Required("model");
    const std::string where = model.where + ".merges";
    const auto merges = lists_ ? lists_->merges : MergesOf(model["merges"]);
    data_->merges.resize(merges.size());
    ParallelForRange(static_cast<int64_t>(merges.size()), 4096, [&](int64_t begin, int64_t end) {
      std::string both;
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const auto& [left, right] = merges[i];
        both.assign(left).append(right);
        data_->merges[i] = {FindVocabId(left), FindVocabId(right), FindVocabId(both)};
      }
    });
    for (size_t i = 0; i < merges.size(); ++i) {
      const Merge& merge = data_->merges[i];
      if (merge.left >= 0 && merge.right >= 0 && merge.result >= 0) continue;
      const auto& [left, right] = merges[i];
      const std::string at = fmt::format("{}[{}]", where, i);
      VocabId(left, at);
      VocabId(right, at);
      VocabId(std::string(left) + std::string(right), at);
    }
    std::vector<int32_t> byte_ids;
    for (int byte = 0; byte < 256; ++byte) {
      const std::string spelling = SpellBytes(std::string(1, static_cast<char>(byte)));
      const int32_t id = FindVocabId(spelling);
      byte_ids.push_back(id >= 0 ? id : UnknownByteId(model));
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
  const VocabularyLists* lists_;
  std::shared_ptr<TokenizerData> data_;
  int64_t id_limit_ = 0;
  bool template_seen_ = false;
};

}  // namespace

std::optional<std::pair<std::string_view, std::string_view>> MergeParts(std::string_view both) {
  const size_t space = both.find(' ');
  if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos)
    return std::nullopt;
  return std::pair{both.substr(0, space), both.substr(space + 1)};
}

std::shared_ptr<const TokenizerData> ReadTokenizer(const json& root, const std::string& name,
                                                   const VocabularyLists* lists) {
  return Reader(root, name, lists).Read();
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
