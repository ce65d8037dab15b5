#include "text/tokenizer_parts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/nearest_name.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer_data.h"

namespace darkhorse {
namespace {

using nlohmann::json;

json Split(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}
json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}
json Sequence(std::vector<json> steps) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

// Contractions in any case; letters with one other character before them; so many digits; marks
// with the newlines behind them; newlines; white space.
std::string Llama3Pattern(const std::string& digits) {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

// The letters of alphabets with two cases, which DeepSeek's first tokenizer lists one by one:
// ranges of code points.
constexpr char32_t kCasedLetters[][2] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},
    {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},     {0x38C, 0x38C},
    {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},
    {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},
    {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},
    {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},
    {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},
    {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};

std::string CasedLetters() {
  std::string out;
  for (const auto& [first, last] : kCasedLetters) {
    AppendUtf8(first, &out);
    if (first == last) continue;
    out += '-';
    AppendUtf8(last, &out);
  }
  return out;
}
const char kHanAndHangul[] = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";

json DeepSeekLlm() {
  return Sequence({Split(R"([\r\n])"), Split("\\s?[" + CasedLetters() + "]+"),
                   Split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
                   Split(R"(\s+$)"), Split(kHanAndHangul), Split(R"(\p{N}+)"), ByteLevel(false)});
}
json DeepSeekCoder() {
  return Sequence({Split(R"([\r\n])"), Split(R"(\s?\p{L}+)"), Split(R"(\s?\p{P}+)"),
                   Split(kHanAndHangul), Split(R"(\p{N})"), ByteLevel(false)});
}
json DeepSeekV3() {
  return Sequence(
      {Split(R"(\p{N}{1,3})"), Split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
       Split(
           R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
           R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
       ByteLevel(false)});
}

// How the tokenizer.json of the models says what llama.cpp has a name for.
struct Cut {
  std::vector<std::string> names;
  json pre_tokenizer;
  bool nfc = false;            // the text is normalised
  bool ignore_merges = false;  // a word that is a token is that token
  bool adds_bos = false;
};
const std::vector<Cut>& Cuts() {
  static const std::vector<Cut> cuts = {
      {{"smollm"}, Sequence({{{"type", "Digits"}, {"individual_digits", true}}, ByteLevel(true)})},
      {{"gpt-2"}, ByteLevel(true)},
      {{"llama-bpe", "llama3", "llama-v3"},
       Sequence({Split(Llama3Pattern(R"(\p{N}{1,3})")), ByteLevel(false)}),
       /*nfc=*/false,
       /*ignore_merges=*/true,
       /*adds_bos=*/true},
      {{"qwen2", "deepseek-r1-qwen"},
       Sequence({Split(Llama3Pattern(R"(\p{N})")), ByteLevel(false)}),
       /*nfc=*/true},
      {{"deepseek-llm"}, DeepSeekLlm()},
      {{"deepseek-coder"}, DeepSeekCoder()},
      {{"deepseek-v3"}, DeepSeekV3()},
  };
  return cuts;
}

const Cut& CutOf(const std::string& pre_tokenizer, const std::string& name) {
  std::vector<std::string> known;
  for (const Cut& cut : Cuts()) {
    if (std::find(cut.names.begin(), cut.names.end(), pre_tokenizer) != cut.names.end()) return cut;
    known.insert(known.end(), cut.names.begin(), cut.names.end());
  }
  Fail("{}: its way to cut text into words, '{}', is not known{}; known: {}", name,
       Printable(pre_tokenizer), DidYouMean(pre_tokenizer, known), fmt::join(known, ", "));
}

bool IsAdded(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUserDefined ||
         type == TokenType::kUnknown;
}
// Those that only trusted text may hold, by what they do rather than by what they say.
bool IsSpecialType(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

// Error: a text that two ids share, or that cannot be.
void RequireDistinct(const TokenizerParts& parts, const std::string& name) {
  if (parts.tokens.size() != parts.types.size()) {
    Fail("{}: has {} tokens but {} types of tokens; convert the model again", name,
         parts.tokens.size(), parts.types.size());
  }
  if (parts.tokens.size() > INT32_MAX) Fail("{}: has more tokens than ids", name);
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(parts.tokens.size());
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    if (parts.types[id] == TokenType::kUnused) continue;
    const std::string_view text = parts.tokens[id];
    if (text.empty() || !IsValidUtf8(text)) {
      Fail("{}: token {} is {}; convert the model again", name, id,
           text.empty() ? "empty" : "no valid UTF-8");
    }
    const auto [at, fresh] = ids.emplace(text, static_cast<int32_t>(id));
    if (!fresh) {
      Fail("{}: tokens {} and {} are both '{}'; convert the model again", name, at->second, id,
           Printable(text));
    }
  }
}

// Nobody may forge a turn by typing its marker: what plain text can become must be no control
// token.
void RequireControlOutOfReach(const TokenizerParts& parts, const VocabularyLists& lists,
                              const std::string& name) {
  std::unordered_map<std::string_view, size_t> control;
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    if (IsSpecialType(parts.types[id])) control.emplace(parts.tokens[id], id);
  }
  const auto check = [&](const std::string& text) {
    const auto found = control.find(text);
    if (found == control.end()) return;
    Fail(
        "{}: token {}, '{}', is a control token, but plain text would become it; convert the model "
        "again",
        name, found->second, Printable(text));
  };
  for (int byte = 0; byte < 256; ++byte) {
    check(SpellBytes(std::string(1, static_cast<char>(byte))));
  }
  std::string both;
  for (const auto& [left, right] : lists.merges) check(both.assign(left).append(right));
}

json Template(const TokenizerParts& parts, const std::string& name) {
  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", false},
                           {"use_regex", false}};
  if (parts.bos_id < 0 && parts.eos_id < 0) return byte_level;
  json single = json::array(), pair = json::array(), tokens = json::object();
  const auto add = [&](int32_t id) {
    if (id < 0) return;
    if (id >= static_cast<int64_t>(parts.tokens.size())) {
      Fail(
          "{}: the token {} that texts begin or end with is not among its {}; convert the model "
          "again",
          name, id, parts.tokens.size());
    }
    const std::string text(parts.tokens[static_cast<size_t>(id)]);
    single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  add(parts.bos_id);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add(parts.eos_id);
  pair = single;
  for (json item : single) {
    for (auto& [kind, value] : item.items()) {
      value["type_id"] = 1;
      if (kind == "Sequence") value["id"] = "B";
    }
    pair.push_back(item);
  }
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", tokens}};
}

// The vocabulary and the merges of the tokenizer.json that says the same.
VocabularyLists ListsOf(const TokenizerParts& parts, const std::string& name) {
  int64_t last_normal = -1;
  for (size_t id = 0; id < parts.types.size(); ++id) {
    if (parts.types[id] != TokenType::kUnused && !IsAdded(parts.types[id])) {
      last_normal = static_cast<int64_t>(id);
    }
  }
  VocabularyLists lists;
  lists.tokens.reserve(parts.tokens.size());
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    const TokenType type = parts.types[id];
    if (type == TokenType::kUnused) continue;
    // The package `tokenizers` gives an added token that is no part of the vocabulary the next id
    // behind it.
    if (!IsAdded(type) || static_cast<int64_t>(id) < last_normal)
      lists.tokens.emplace_back(parts.tokens[id], static_cast<int64_t>(id));
  }
  lists.merges.reserve(parts.merges.size());
  for (const std::string_view merge : parts.merges) {
    if (!IsValidUtf8(merge)) Fail("{}: a merge is no valid UTF-8; convert the model again", name);
    const auto both = MergeParts(merge);
    if (!both) {
      Fail(
          "{}: merge {} is '{}', where two tokens stand with a space between; convert the model "
          "again",
          name, lists.merges.size(), Printable(merge));
    }
    lists.merges.push_back(*both);
  }
  return lists;
}

// The rest of it.
json ToTokenizerJson(const TokenizerParts& parts, const Cut& cut, const std::string& name) {
  json added = json::array();
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    if (!IsAdded(parts.types[id])) continue;
    added.push_back({{"id", id},
                     {"content", std::string(parts.tokens[id])},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", IsSpecialType(parts.types[id])}});
  }
  return {{"version", "1.0"},
          {"added_tokens", std::move(added)},
          {"normalizer", cut.nfc ? json{{"type", "NFC"}} : json()},
          {"pre_tokenizer", cut.pre_tokenizer},
          {"post_processor", Template(parts, name)},
          {"decoder",
           {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", cut.ignore_merges}}}};
}

// The steps of a pre_tokenizer, without what changes no word.
json StepsOf(const json& pre_tokenizer) {
  json steps = json::array();
  const std::string type = pre_tokenizer.is_object() ? pre_tokenizer.value("type", "") : "";
  if (type == "Sequence") {
    for (const json& inner : pre_tokenizer.value("pretokenizers", json::array())) {
      for (const json& step : StepsOf(inner)) steps.push_back(step);
    }
  } else if (type == "ByteLevel") {
    steps.push_back({type, pre_tokenizer.value("add_prefix_space", true),
                     pre_tokenizer.value("use_regex", true)});
  } else if (!pre_tokenizer.is_null()) {
    steps.push_back(pre_tokenizer);
  }
  return steps;
}

// llama.cpp normalises no text, so one that is or is not made NFC has the same name.
bool IsNfcOrNothing(const json& normalizer) {
  if (normalizer.is_null()) return true;
  const std::string type = normalizer.value("type", "");
  if (type == "NFC") return true;
  const json inner = normalizer.value("normalizers", json());
  return type == "Sequence" && std::all_of(inner.begin(), inner.end(), IsNfcOrNothing);
}

std::string NameOfCut(const json& root, const std::string& name) {
  const json steps = StepsOf(root["pre_tokenizer"]);
  std::vector<std::string> known;
  for (const Cut& cut : Cuts()) {
    known.push_back(cut.names.front());
    if (StepsOf(cut.pre_tokenizer) == steps && IsNfcOrNothing(root["normalizer"]) &&
        root["model"].value("ignore_merges", false) == cut.ignore_merges) {
      return cut.names.front();
    }
  }
  Fail(
      "{}: cuts text into words in a way that llama.cpp has no name for (it has, of those known "
      "here, {}); train a tokenizer with the pattern of qwen2, '{}', and the model anew on its "
      "tokens",
      name, fmt::join(known, ", "), Llama3Pattern(R"(\p{N})"));
}

// What llama.cpp collects (src/llama-vocab.cpp): ends of turns and texts, and the marks between
// files that code models complete.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",    "<|im_end|>",      "<|end|>",       "<end_of_turn>",
    "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>",    "</s>",
    "<EOT>",         "<|EOT|>",         "[EOT]",         "<｜end▁of▁sentence｜>",
    "<|fim_pad|>",   "<fim_pad>",       "<|repo_name|>", "<|file_sep|>",
    "<reponame>",
};

}  // namespace

Tokenizer MakeTokenizer(const TokenizerParts& parts, const std::string& name) {
  const Cut& cut = CutOf(parts.pre_tokenizer, name);
  RequireDistinct(parts, name);
  const VocabularyLists lists = ListsOf(parts, name);
  RequireControlOutOfReach(parts, lists, name);
  return Tokenizer(ReadTokenizer(ToTokenizerJson(parts, cut, name), name, &lists));
}

WrittenTokenizerParts PartsOf(const Tokenizer& tokenizer, const std::string& name) {
  const json root = json::parse(tokenizer.ToJson());
  WrittenTokenizerParts parts;
  parts.pre_tokenizer = NameOfCut(root, name);
  const auto size = static_cast<size_t>(tokenizer.vocab_size());
  parts.tokens.resize(size);
  parts.types.assign(size, TokenType::kUnused);
  const auto set = [&](const json& id, const std::string& text, TokenType type) {
    parts.tokens[id.get<size_t>()] = text;
    parts.types[id.get<size_t>()] = type;
  };
  const json& model = root["model"];
  for (const auto& [text, id] : model["vocab"].items()) set(id, text, TokenType::kNormal);
  for (const json& token : root["added_tokens"]) {
    const std::string text = token["content"];
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
      if (!token[flag].get<bool>()) continue;
      Fail("{}: token '{}' has {}, which GGUF cannot say; set it to false in tokenizer.json", name,
           Printable(text), flag);
    }
    set(token["id"], text,
        token["special"].get<bool>() ? TokenType::kControl : TokenType::kUserDefined);
  }
  for (const json& merge : model["merges"]) {
    parts.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return parts;
}

bool AddsBosByDefault(const std::string& pre_tokenizer, const std::string& name) {
  return CutOf(pre_tokenizer, name).adds_bos;
}

std::vector<int32_t> EndTokens(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string_view text : kEndTexts) {
    const std::optional<int32_t> id = tokenizer.TokenId(text);
    if (id && tokenizer.IsSpecial(*id)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace darkhorse
