// `darkhorse data prepare`: documents to token shards.
#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "app/unread.h"
#include "base/error.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "checkpoint/model_source.h"
#include "data/prepare.h"
#include "task/corpus.h"
#include "text/tags.h"

namespace darkhorse {
namespace {

struct DataOptions {
  std::vector<std::string> inputs;
  std::string generate;
  int64_t documents = 0;
  uint64_t seed = 0;
  std::string tokenizer;
  std::string out;
  CorpusOptions corpus;
  PrepareOptions prepare;
  bool json = false;
};

std::string Describe(const PrepareProgress& progress) {
  std::string text = fmt::format(
      "{:.0f} % · {} {} · {} tokens · {} tokens/s", 100 * progress.fraction,
      FormatCount(static_cast<double>(progress.documents)), Plural(progress.documents, "document"),
      FormatCount(static_cast<double>(progress.tokens)), FormatCount(progress.tokens_per_second));
  if (progress.eta_seconds >= 0) text += " · ETA " + FormatDuration(progress.eta_seconds);
  return text;
}

PrepareStatistics Prepare(const DataOptions& options, const Tokenizer& tokenizer) {
  StatusLine status;
  CatchInterrupts();
  const auto show = [&](const PrepareProgress& progress) {
    LeaveIfAsked(Interrupted);
    status.Show(Describe(progress));
  };
  if (options.generate.empty()) {
    return PrepareFiles(options.inputs, options.corpus, tokenizer, options.prepare, options.out,
                        show);
  }
  CorpusMix mix;
  mix.tasks = ParseTaskShares(options.generate);
  CheckMix(mix);
  const auto make = [&](uint64_t index, std::string* document) {
    LeaveIfAsked(Interrupted);
    *document = CorpusDocument(mix, options.seed, index);
    return true;
  };
  return PrepareGenerated(make, options.documents, tokenizer, options.prepare, options.out, show);
}

void Run(const DataOptions& options) {
  if (options.inputs.empty() == options.generate.empty()) {
    FailUsage("data prepare: give either files and folders to read, or --generate TASKS");
  }
  if (options.generate.empty() && options.documents != 0) {
    FailUsage("data prepare: --documents is how many --generate makes; leave it out for files");
  }
  if (!options.generate.empty() && options.documents < 1) {
    FailUsage("data prepare: --generate needs --documents, how many to make");
  }
  if (!options.corpus.separator.empty() && !options.corpus.split_text) {
    FailUsage("data prepare: --separator says where --split-text cuts; give that too");
  }
  const Tokenizer tokenizer = LoadTokenizer(options.tokenizer);
  const PrepareStatistics done = Prepare(options, tokenizer);
  NoteUnread(done.corpus);
  PrintResult({{"out", options.out},
               {"documents", done.documents},
               {"text_bytes", done.text_bytes},
               {"train_documents", done.train_documents},
               {"train_tokens", done.train_tokens},
               {"validation_documents", done.validation_documents},
               {"validation_tokens", done.validation_tokens},
               {"longest_document", done.longest_document},
               {"left_out", done.corpus.left_out.size()},
               {"malformed", done.corpus.malformed},
               {"empty", done.corpus.empty}},
              options.json);
}

}  // namespace

void RegisterData(Command app) {
  Command data = app.AddCommand("data", "Turn text into token shards");
  data.NeedsCommand();
  const auto options = std::make_shared<DataOptions>();
  // A prompt begins as documents do.
  options->prepare.bos_token = kBeginOfDocument;
  Command command =
      data.AddCommand("prepare", "Tokenise documents into a folder with train.bin and val.bin");
  command.Add("inputs", options->inputs,
              "files or folders of .txt, .jsonl and .json, each possibly .gz or .zst");
  command.Add("--generate", options->generate,
              "make documents of these tasks instead, such as countdown:1=0.7,sum:2=0.3");
  command.Add("--documents", options->documents, "how many to generate");
  command.Add("--seed", options->seed, "of generated documents");
  command.Add("--tokenizer", options->tokenizer, kTokenizerFiles).Required();
  command.Add("--out", options->out, "folder to write").Required();
  AddFieldFlags(command, FieldsOf(options->corpus));
  AddFieldFlags(command, FieldsOf(options->prepare));
  AddJsonFlag(command, &options->json);
  std::map<std::string, std::string> names = FlagNames(FieldsOf(options->corpus));
  names.merge(FlagNames(FieldsOf(options->prepare)));
  command.Runs([options, names] { TellingFlags(names, [&] { Run(*options); }); });
}

}  // namespace darkhorse
