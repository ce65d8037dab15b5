// `darkhorse tokenizer train|encode|decode`.
#include "text/tokenizer.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <sstream>

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "app/unread.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "data/corpus.h"
#include "data/prepare.h"
#include "data/shard.h"
#include "text/tags.h"

namespace darkhorse {
namespace {

struct TrainOptions {
  std::vector<std::string> inputs;
  std::string out;
  TokenizerTrainOptions tokenizer;
  CorpusOptions corpus;
  bool json = false;
};

struct CodeOptions {
  std::string tokenizer;
  std::string input = "-";
  bool special = false;
  bool json = false;
};

std::string ReadInput(const std::string& path) {
  if (path != "-") return ReadFileOrPipe(path);
  return ReadStandardInput();
}

// What was made with a tokenizer is garbage beside another.
void RequireNoOther(const std::string& out, uint64_t hash) {
  const std::filesystem::path folder = std::filesystem::path(out).parent_path();
  const std::string shard = (folder / kTrainShard).string();
  const auto refuse = [&](const std::string& what, uint64_t other) {
    Fail(
        "{}: {} (its hash is {}, the new one's {}); choose another --out, or remove what is there "
        "first",
        out, what, HexU64(other), HexU64(hash));
  };
  if (const auto own = TokenizerHashOf(folder.string()); own && *own != hash)
    refuse("beside it lies a model that was trained with another tokenizer", *own);
  if (FileExists(shard)) {
    if (const uint64_t own = TokenShard::Open(shard).info().tokenizer_hash; own != hash)
      refuse("beside it lie token shards that were made with another tokenizer", own);
  }
  if (!FileExists(out)) return;
  if (const uint64_t there = Checksum64(ReadFile(out)); there != hash)
    refuse("another tokenizer, or another file, is there already", there);
}

void Train(const TrainOptions& options) {
  CorpusReader corpus(options.inputs, options.corpus);
  FileWriter out(options.out);  // fails now rather than after the work
  CatchInterrupts();
  StatusLine status;
  const double begin = SteadySeconds();
  const auto show = [&](const char* phase, int64_t done, int64_t total) {
    LeaveIfAsked(Interrupted);
    const bool counting = std::string_view(phase) == "count";
    status.Show(
        std::string(phase) + " " +
        FormatProgress({done, total, SteadySeconds() - begin}, counting ? "bytes" : "merges"));
  };
  const Tokenizer tokenizer =
      TrainTokenizer([&](std::string* text) { return corpus.Next(text); }, options.tokenizer, show);
  const CorpusReport& report = corpus.report();
  if (report.documents == 0) {
    Fail("{}: no documents in it{}; name files with text, and for .jsonl its --field or --format",
         options.inputs.front(), FirstSkipped(report));
  }
  NoteUnread(report);
  if (tokenizer.vocab_size() < options.tokenizer.vocab_size) {
    Note(fmt::format(
        "the text has pairs for {} tokens only, not {}; more text of more kinds gives more",
        tokenizer.vocab_size(), options.tokenizer.vocab_size));
  }
  RequireNoOther(options.out, tokenizer.hash());
  out.Write(tokenizer.ToJson());
  out.Commit();
  PrintResult({{"tokenizer", options.out},
               {"vocab_size", tokenizer.vocab_size()},
               {"hash", HexU64(tokenizer.hash())},
               {"documents", report.documents},
               {"text_bytes", report.text_bytes},
               {"left_out", report.left_out.size()},
               {"malformed", report.malformed}},
              options.json);
}

void Encode(const CodeOptions& options) {
  const Tokenizer tokenizer = LoadTokenizer(options.tokenizer);
  const std::string text = ReadInput(options.input);
  std::vector<int32_t> ids;
  tokenizer.Encode(text, &ids, options.special);
  if (options.json) return PrintResult({{"ids", ids}}, true);
  PrintText(fmt::format("{}\n", fmt::join(ids, " ")));
}

// Ids as `encode --json` prints them, {"ids": [1, 2]}, or the list alone.
std::vector<int32_t> IdsOfJson(const std::string& text, const std::string& name,
                               int32_t vocab_size) {
  const nlohmann::json json = ParseJson(text, name);
  const nlohmann::json& list = json.is_object() && json.contains("ids") ? json["ids"] : json;
  if (!list.is_array())
    Fail("{}: no list of ids; write [1, 2] or what `darkhorse tokenizer encode --json` prints",
         name);
  std::vector<int32_t> ids;
  for (const nlohmann::json& id : list)
    ids.push_back(static_cast<int32_t>(IntOf(id, "ids", name, 0, vocab_size - 1)));
  return ids;
}

std::vector<int32_t> IdsOfWords(const std::string& text, const std::string& name,
                                int32_t vocab_size) {
  std::istringstream input(text);
  std::vector<int32_t> ids;
  for (std::string word; input >> word;) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0 || id >= vocab_size) {
      Fail("{}: '{}' is not a token id of this tokenizer; ids are 0 to {}, separated by spaces",
           name, word.size() > 40 ? word.substr(0, 40) + "…" : word, vocab_size - 1);
    }
    ids.push_back(id);
  }
  return ids;
}

void Decode(const CodeOptions& options) {
  const Tokenizer tokenizer = LoadTokenizer(options.tokenizer);
  const std::string input = ReadInput(options.input);
  const size_t first = input.find_first_not_of(" \t\r\n");
  const bool json = first != std::string::npos && (input[first] == '{' || input[first] == '[');
  const std::vector<int32_t> ids =
      (json ? IdsOfJson : IdsOfWords)(input, options.input, tokenizer.vocab_size());
  const std::string text = tokenizer.Decode(ids, /*skip_special_tokens=*/!options.special);
  if (options.json) return PrintResult({{"text", text}}, true);
  PrintText(text);
}

void AddCodeFlags(Command command, CodeOptions* options, const std::string& special_help) {
  command.Add("--tokenizer", options->tokenizer, kTokenizerFiles).Required();
  command.Add("input", options->input, "file to read; - for standard input");
  command.Add("--special", options->special, special_help);
  AddJsonFlag(command, &options->json);
}

void RegisterTrain(Command parent) {
  const auto options = std::make_shared<TrainOptions>();
  // Begin and end first: they have the ids 0 and 1 of ModelConfig's defaults. The tags, so that a
  // model that is to be reinforced needs no tokenizer of its own kind.
  for (const std::string_view token :
       {kBeginOfDocument, kEndOfDocument, kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose})
    options->tokenizer.special_tokens.emplace_back(token);
  Command command = parent.AddCommand("train", "Train a byte-level BPE tokenizer on text");
  command
      .Add("inputs", options->inputs,
           "files or folders of .txt, .jsonl and .json, each possibly .gz or .zst")
      .Required();
  command.Add("--out", options->out, "tokenizer.json to write").Required();
  AddFieldFlags(command, FieldsOf(options->tokenizer));
  AddFieldFlags(command, FieldsOf(options->corpus));
  AddJsonFlag(command, &options->json);
  std::map<std::string, std::string> names = FlagNames(FieldsOf(options->corpus));
  names.merge(FlagNames(FieldsOf(options->tokenizer)));
  command.Runs([options, names] { TellingFlags(names, [&] { Train(*options); }); });
}

}  // namespace

void RegisterTokenizer(Command app) {
  Command command = app.AddCommand("tokenizer", "Train a tokenizer, encode and decode text");
  command.NeedsCommand();
  RegisterTrain(command);
  const auto encode = std::make_shared<CodeOptions>();
  Command encode_command = command.AddCommand("encode", "Text to token ids");
  AddCodeFlags(encode_command, encode.get(), "recognise special tokens written in the text");
  encode_command.Runs([encode] { Encode(*encode); });
  const auto decode = std::make_shared<CodeOptions>();
  Command decode_command =
      command.AddCommand("decode", "Token ids, as encode prints them, to text");
  AddCodeFlags(decode_command, decode.get(), "show special tokens");
  decode_command.Runs([decode] { Decode(*decode); });
}

}  // namespace darkhorse
