#include "app/bench_model.h"

#include <algorithm>

#include "app/bench_sampling.h"
#include "app/live.h"
#include "app/weights_flag.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/parallel.h"
#include "base/random.h"
#include "checkpoint/model_source.h"
#include "infer/engine.h"
#include "kernel/peak.h"
#include "pipeline/loaded_model.h"

namespace darkhorse {
namespace {

// Bytes of weights that a step of `rows` tokens reads: of experts, those that they visit.
double WeightBytesRead(const LoadedModel& loaded, int64_t rows) {
  const ModelCost& cost = loaded.model().cost();
  const Matrix& embedding = loaded.weights().embed_tokens.w;
  const int64_t looked_up =
      embedding.data ? embedding.size() * static_cast<int64_t>(sizeof(float)) : 0;
  constexpr int64_t kAll = int64_t{1} << 40;  // visit every expert
  return static_cast<double>(loaded.weight_bytes() - looked_up) * cost.WeightBytesRead(rows) /
         cost.WeightBytesRead(kAll);
}

GenerationRequest RandomPrompt(const ModelConfig& config, const ModelBench& options,
                               int64_t sequences) {
  GenerationRequest request;
  const auto vocabulary = static_cast<uint64_t>(config.vocab_size);
  for (int64_t i = 0; i < options.prompt_tokens; ++i) {
    const uint64_t random = RandomBits(1, RandomStream::kTest, 0, static_cast<uint64_t>(i));
    request.prompt.push_back(static_cast<int32_t>(random % vocabulary));
  }
  request.samples = sequences;
  // The first comes with the prompt, and decoding is timed from the end of its first step on.
  request.max_tokens = 2 + options.new_tokens;
  return request;
}

struct Speeds {
  std::vector<double> prefill, decoding;  // tokens a second, of each round
};

void BenchRound(Engine& engine, const GenerationRequest& request, Speeds& speeds) {
  double first_token = 0, begin = 0, end = 0;
  int64_t steps = -1;  // in which every sequence gets a token; the first starts the clock
  const double start = SteadySeconds();
  engine.Generate({request}, {}, [&](const EngineStep& step) {
    const double now = SteadySeconds();
    if (first_token == 0 && step.sampled > 0) {
      first_token = now;
      return;
    }
    if (step.rows != request.samples || step.sampled != request.samples) return;
    if (++steps == 0) begin = now;
    end = now;
  });
  CHECK(first_token > start && steps > 0);
  speeds.prefill.push_back(static_cast<double>(request.prompt.size()) / (first_token - start));
  speeds.decoding.push_back(static_cast<double>(steps * request.samples) / (end - begin));
}

// One sequence that goes on with the text: how fast, from its first token on, and in how many
// passes.
Json BenchText(const LoadedModel& loaded, Speculation* speculation, const ModelBench& options,
               const GenerationRequest& request) {
  const auto capacity = static_cast<int64_t>(request.prompt.size()) + request.max_tokens;
  Engine engine(loaded.model(), loaded.weights(),
                {.form = options.form, .slots = 1, .capacity = capacity},
                speculation ? speculation->Make(loaded, options.form, 1, capacity) : nullptr);
  std::vector<double> speeds;
  EngineStep work;
  int64_t passes = 0;
  for (int64_t round = 0; round < options.rounds; ++round) {
    double begin = 0, end = 0;
    work = {};
    passes = 0;
    engine.Generate({request}, {}, [&](const EngineStep& step) {
      end = SteadySeconds();
      if (begin == 0 && step.sampled > 0) {
        begin = end;
      } else if (begin > 0) {
        work += step;
        ++passes;
      }
    });
    speeds.push_back(static_cast<double>(request.max_tokens - 1) / (end - begin));
  }
  Json result = {{"tokens_per_second", Median(speeds)}, {"passes", passes}};
  if (!speculation) return result;
  result["guessed_tokens"] = work.guessed;
  result["accepted_tokens"] = work.accepted;
  return result;
}

GenerationRequest TextRequest(const OpenedModel& opened, const ModelBench& options) {
  GenerationRequest request;
  request.prompt = opened.PromptTokens(options.text, /*special=*/true);
  request.sampling.temperature = 0;
  request.max_tokens = 1 + options.new_tokens;
  const int64_t context = opened.config().max_position_embeddings;
  if (static_cast<int64_t>(request.prompt.size()) + request.max_tokens > context) {
    FailUsage("bench: the text of {} and --new-tokens {} exceed the model's context of {}",
              Counted(std::ssize(request.prompt), "token"), options.new_tokens, context);
  }
  return request;
}

}  // namespace

Json BenchModel(const std::string& path, const ModelBench& options) {
  Note("loading");
  const double start = SteadySeconds();
  OpenedModel opened(path);
  const int64_t capacity = options.prompt_tokens + options.new_tokens + 2;
  if (const int64_t context = opened.config().max_position_embeddings; capacity > context) {
    FailUsage("bench: --prompt-tokens {} and --new-tokens {} exceed the model's context of {}",
              options.prompt_tokens, options.new_tokens, context);
  }
  std::optional<GenerationRequest> text;
  if (!options.text.empty()) text = TextRequest(opened, options);
  Speculation speculation(options.speculate, opened);
  CacheNeed need{.form = options.form,
                 .sequences = std::ranges::max(options.batches),
                 .tokens = capacity,
                 .smaller_cache = "lower --batches, --prompt-tokens or --new-tokens",
                 .smaller_weights = kSmallerWeights};
  if (text) need = speculation.With(need);
  const LoadedModel loaded(std::move(opened), options.weights, need);
  const double load_seconds = SteadySeconds() - start;
  const ModelConfig& config = loaded.config();
  const double bandwidth = 1e9 * MeasureBandwidthGBs(NumThreads());
  std::vector<double> prefill;
  Json decoding, shares;
  for (const int64_t batch : options.batches) {
    Note(fmt::format("{} of context, {}", Counted(options.prompt_tokens, "token"),
                     Counted(batch, "sequence")));
    Engine engine(loaded.model(), loaded.weights(),
                  {.form = options.form, .slots = batch, .capacity = capacity});
    GenerationRequest request = RandomPrompt(config, options, batch);
    Speeds speeds, ignored;
    BenchRound(engine, request, ignored);
    for (int64_t round = 0; round < options.rounds; ++round) BenchRound(engine, request, speeds);
    const double speed = Median(speeds.decoding);
    prefill.insert(prefill.end(), speeds.prefill.begin(), speeds.prefill.end());
    decoding[std::to_string(batch)] = speed;
    shares[std::to_string(batch)] =
        WeightBytesRead(loaded, batch) * speed / static_cast<double>(batch) / bandwidth;
  }
  Json result = {{"model", path},
                 {"threads", NumThreads()},
                 {"load_seconds", load_seconds},
                 {"file_bytes", loaded.file_bytes()},
                 {"weight_bytes", loaded.weight_bytes()},
                 {"bandwidth_gb_s", 1e-9 * bandwidth},
                 {"prompt_tokens", options.prompt_tokens},
                 {"prefill_tokens_per_second", Median(prefill)},
                 {"decoding_tokens_per_second", std::move(decoding)},
                 {"weights_share_of_bandwidth", std::move(shares)}};
  if (!text) return result;
  Note("the text");
  result["text"] = {{"without_guesses", BenchText(loaded, nullptr, options, *text)},
                    {"with_guesses", BenchText(loaded, &speculation, options, *text)}};
  return result;
}

}  // namespace darkhorse
