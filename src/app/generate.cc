// `darkhorse generate`: text sampled from a checkpoint.
#include <algorithm>
#include <map>

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "app/speculate_flag.h"
#include "app/weights_flag.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxPromptBytes = 64 << 20;

struct GenerateOptions {
  std::string model;
  WeightsFlag weights;
  std::vector<std::string> prompts;
  std::string prompt_file;
  int64_t samples = 1;
  int64_t max_tokens = 256;
  SamplingParams sampling;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  int64_t batch = 32;
  CacheFlag cache;
  SpeculateFlag speculate;
  bool special = false;
  bool json = false;
};

std::vector<std::string> Prompts(const GenerateOptions& options) {
  std::vector<std::string> prompts = options.prompts;
  if (options.prompt_file == "-") {
    prompts.push_back(ReadStandardInput(kMaxPromptBytes));
  } else if (!options.prompt_file.empty()) {
    prompts.push_back(ReadFileOrPipe(options.prompt_file, kMaxPromptBytes));
  }
  if (prompts.empty()) prompts.emplace_back();  // a document from nothing
  return prompts;
}

std::vector<GenerationRequest> Requests(const GenerateOptions& options, const OpenedModel& opened,
                                        const std::vector<std::string>& prompts) {
  std::vector<GenerationRequest> requests;
  for (const std::string& prompt : prompts) {
    GenerationRequest request;
    request.prompt = opened.PromptTokens(prompt, options.special);
    request.never = opened.silent_tokens();
    request.samples = options.samples;
    request.max_tokens = options.max_tokens;
    request.sampling = options.sampling;
    request.seed = options.seed;
    request.stop_tokens = StopTokens(opened.tokenizer(), StopTokens(opened.config()), options.stop);
    requests.push_back(std::move(request));
  }
  SeparateStreams(requests);
  return requests;
}

// The text of one completion as it grows.
struct GrowingText {
  TextStream stream;
  StoppedText text;

  GrowingText(const Tokenizer& tokenizer, const GenerateOptions& options)
      : stream(tokenizer, /*for_people=*/!options.special), text(options.stop) {}
  bool Append(int32_t token) { return text.Append(stream.Next(token)); }
  const std::string& Whole() {
    text.Append(stream.End());
    return text.text();
  }
};

const char* Describe(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

Json Describe(const Completion& completion, const std::string& text) {
  double logp = 0;
  for (const float value : completion.logp) logp += value;
  return {{"prompt", completion.request},
          {"sample", completion.sample},
          {"text", text},
          {"tokens", completion.tokens.size()},
          {"logp", logp},
          {"ids", completion.tokens},
          {"logprobs", completion.logp},
          {"finish", Describe(completion.finish)}};
}

// What is puzzling about the texts.
void ExplainWhatIsMissing(const GenerateOptions& options, const LoadedModel& loaded,
                          const std::vector<Completion>& completions) {
  const Tokenizer& tokenizer = loaded.tokenizer();
  const std::vector<int32_t> ends = StopTokens(loaded.config());
  int64_t empty = 0;
  bool hidden = false;
  std::string end;
  for (const Completion& completion : completions) {
    const int32_t last = completion.tokens.back();
    const bool ended = completion.finish == FinishReason::kStop;
    if (ended && completion.tokens.size() == 1 && std::ranges::count(ends, last) > 0) {
      ++empty;
      end = tokenizer.TokenBytes(last);
    }
    hidden |= std::any_of(completion.tokens.begin(), completion.tokens.end() - ended,
                          [&](int32_t id) { return IsHiddenFromPeople(tokenizer, id); });
  }
  if (empty > 0) {
    Note(
        fmt::format("{} of {} ended at once: the first token was '{}'; a prompt should stop "
                    "where a token "
                    "of the training text does, often behind a newline",
                    empty, Counted(std::ssize(completions), "text"), end));
  }
  int64_t at_limit = 0, at_context = 0;
  for (const Completion& completion : completions) {
    if (completion.finish != FinishReason::kLength) continue;
    ++(std::ssize(completion.tokens) < options.max_tokens ? at_context : at_limit);
  }
  const std::string all = Counted(std::ssize(completions), "text");
  if (at_limit > 0) Note(fmt::format("{} of {} cut off; --max-tokens gives more", at_limit, all));
  if (at_context > 0)
    Note(fmt::format("{} of {} cut off where the context is full", at_context, all));
  if (hidden && !options.special) Note("special tokens are not shown; --special shows them");
}

void Run(const GenerateOptions& options) {
  Validate(options.sampling);
  if (std::any_of(options.stop.begin(), options.stop.end(),
                  [](const std::string& stop) { return stop.empty(); })) {
    FailUsage("--stop: an empty string would end every text before it begins");
  }
  const std::vector<std::string> prompts = Prompts(options);
  OpenedModel opened(options.model);
  Speculation speculation(options.speculate, opened);
  const std::vector<GenerationRequest> requests = Requests(options, opened, prompts);
  int64_t longest = 0;
  for (const GenerationRequest& request : requests) {
    longest = std::max(longest, static_cast<int64_t>(request.prompt.size()));
  }
  const int64_t capacity =
      CapacityFor(longest, options.max_tokens, opened.config().max_position_embeddings);
  const int64_t slots =
      SlotsFor(static_cast<int64_t>(prompts.size()), options.samples, options.batch);
  const LoadedModel loaded(std::move(opened), options.weights.Of(options.model),
                           speculation.With({.form = options.cache.form(),
                                             .sequences = slots,
                                             .tokens = capacity,
                                             .smaller_cache = "lower --batch or --max-tokens",
                                             .smaller_weights = kSmallerWeights}));
  Engine engine(loaded.model(), loaded.weights(),
                {.form = options.cache.form(), .slots = slots, .capacity = capacity},
                speculation.Make(loaded, options.cache.form(), slots, capacity));

  const double begin = SteadySeconds();
  std::map<std::pair<RequestId, int64_t>, GrowingText> growing;
  const auto text_of = [&](const Completion& completion) -> GrowingText& {
    const std::pair key(completion.request, completion.sample);
    return growing.try_emplace(key, loaded.tokenizer(), options).first->second;
  };
  const auto keep_going = [&](const Completion& so_far) {
    return text_of(so_far).Append(so_far.tokens.back());
  };
  const std::vector<Completion> completions = engine.Generate(requests, keep_going);
  Note(FormatProgress({engine.stats().generated_tokens, 0, SteadySeconds() - begin}, "tokens"));
  if (const std::string told = TellOfGuesses(engine.stats().work); !told.empty()) Note(told);

  Json result = Json::array();
  for (const Completion& completion : completions) {
    const std::string& text = text_of(completion).Whole();
    if (!options.json && completions.size() > 1) {
      PrintText(fmt::format("{}--- prompt {}, sample {} ---\n", result.empty() ? "" : "\n",
                            completion.request + 1, completion.sample + 1));
    }
    if (!options.json) PrintText(prompts[completion.request] + text + "\n");
    result.push_back(Describe(completion, text));
  }
  if (options.json) PrintResult({{"completions", result}}, true);
  ExplainWhatIsMissing(options, loaded, completions);
}

}  // namespace

void RegisterGenerate(Command app) {
  const auto options = std::make_shared<GenerateOptions>();
  Command command = app.AddCommand("generate", "Sample text from a model");
  command.Add("model,--model", options->model, kModelFiles).Required();
  options->weights.Register(command, kTrainedWeights);
  command.Add("--prompt", options->prompts,
              "text to continue; may be repeated; none: a document from nothing");
  command.Add("--prompt-file", options->prompt_file,
              "file with one more prompt; - for standard input");
  command.Add("--samples", options->samples, "completions of each prompt").Within(1, 1 << 20);
  command.Add("--max-tokens", options->max_tokens, "longest completion").Within(1, INT32_MAX);
  AddSamplingFlags(command, &options->sampling);
  command.Add("--seed", options->seed, "same seed, same text");
  command.Add("--stop", options->stop, "text ends before this string; may be repeated");
  command.Add("--batch", options->batch, "sequences at once").Within(1, kMaxBatch);
  options->cache.Register(command,
                          "expanded: training's bits; latent: small memory, for long contexts");
  options->speculate.Register(command);
  command.Add("--special", options->special,
              "read special tokens in prompts, and show those that are no tags of thoughts");
  AddJsonFlag(command, &options->json);
  command.Runs([options] { Run(*options); });
}

}  // namespace darkhorse
