#include "app/bench_serve.h"

#include <charconv>

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "serve/api_client.h"

namespace darkhorse {
namespace {

constexpr int64_t kMostTokens = 1 << 24;

struct BenchServeFlags {
  LoadOptions load;
  std::string key_file;
  bool json = false;
};

Json Quantiles(const std::vector<double>& seconds) {
  Json quantiles;
  for (const int percent : {50, 95, 99}) {
    quantiles[fmt::format("p{}", percent)] =
        seconds.empty() ? Json() : Json(Quantile(seconds, percent / 100.0));
  }
  return quantiles;
}

Json Describe(const LoadResult& result, const LoadOptions& options) {
  const auto rate = [&](int64_t tokens) { return static_cast<double>(tokens) / result.seconds; };
  Json json = {{"url", options.url},
               {"clients", options.clients},
               {"answered", result.answered},
               {"failed", result.failed()},
               {"seconds", result.seconds},
               {"prompt_tokens", result.prompt_tokens},
               {"prompt_tokens_cached", result.cached_tokens},
               {"answer_tokens", result.answer_tokens},
               {"prompt_tokens_per_second", rate(result.prompt_tokens)},
               {"answer_tokens_per_second", rate(result.answer_tokens)},
               {"seconds_to_first_token", Quantiles(result.first)},
               {"seconds_between_tokens", Quantiles(result.between)},
               {"seconds_to_end", Quantiles(result.whole)}};
  if (options.verify) json["different_from_alone"] = result.different;
  if (result.server_memory.size() == 3) {
    json["server_memory_bytes"] = {{"before", static_cast<int64_t>(result.server_memory[0])},
                                   {"halfway", static_cast<int64_t>(result.server_memory[1])},
                                   {"after", static_cast<int64_t>(result.server_memory[2])}};
  }
  if (!result.failures.empty()) json["failures"] = result.failures;
  return json;
}

void Run(BenchServeFlags& flags) {
  if (!flags.key_file.empty()) flags.load.key = KeyOfFile(flags.key_file);
  CatchInterrupts();
  flags.load.stop = Interrupted;
  LoadResult result;
  {
    StatusLine status;
    flags.load.show = [&](const std::string& line) { status.Show(line); };
    result = RunLoad(flags.load);
  }
  PrintResult(Describe(result, flags.load), flags.json);
  const int64_t asked = result.answered + result.failed();
  if (result.different > 0) {
    Fail("answers that are not what the same request got alone: {} of {}", result.different,
         result.answered);
  }
  if (result.failed() > 0) {
    Fail("requests that failed: {} of {}; the most frequent: {}", result.failed(), asked,
         std::ranges::max_element(result.failures, {}, [](const auto& f) {
           return f.second;
         })->first);
  }
}

void AddRange(Command command, const std::string& name, LengthRange* range,
              const std::string& help) {
  command.AddFunction(
      name, [range, name](const std::string& text) { *range = ParseLengthRange(text, name); },
      "N or LOW:HIGH", std::to_string(range->low), help);
}

}  // namespace

LengthRange ParseLengthRange(const std::string& text, const std::string& flag) {
  const auto number = [&](std::string_view digits) {
    int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc() || stop != end || value < 1 || value > kMostTokens) {
      FailUsage("{} {}: write a number from 1 to {}, or two such as 16:128", flag, Printable(text),
                kMostTokens);
    }
    return value;
  };
  const size_t colon = text.find(':');
  const std::string_view all = text;
  const LengthRange range{number(all.substr(0, colon)),
                          number(colon == all.npos ? all : all.substr(colon + 1))};
  if (range.low > range.high)
    FailUsage("{} {}: the first number is the smaller one", flag, Printable(text));
  return range;
}

void RegisterBenchServe(Command bench) {
  const auto flags = std::make_shared<BenchServeFlags>();
  LoadOptions& load = flags->load;
  Command command = bench.AddCommand(
      "serve", "Measure a server of OpenAI's API with many clients at once, and check its answers");
  command.Add("url", load.url, "of the server, as in http://127.0.0.1:8080").Required();
  command.Add("--clients", load.clients, "that ask at once").Within(1, 1 << 14);
  command.Add("--requests", load.requests, "different requests").Within(1, 1 << 20);
  command
      .Add("--seconds", load.seconds,
           "ask the requests over and over for so long; 0: each of them once")
      .WithinReals(0, 1e6);
  AddRange(command, "--prompt-tokens", &load.prompt_tokens,
           "of each prompt, behind the shared prefix");
  AddRange(command, "--new-tokens", &load.answer_tokens, "of each answer");
  command.Add("--shared-prefix", load.shared_prefix, "tokens that all prompts begin with, the same")
      .Within(0, kMostTokens);
  command.Add("--temperature", load.temperature, "0: the most probable token").WithinReals(0, 100);
  command.Add("--seed", load.seed, "of lengths, prompts and answers");
  command.Add("--verify", load.verify,
              "ask each request alone first; then every answer must be the same again");
  command.Add("--model", load.model, "name of the model to ask; else the server's first");
  command.Add("--key-file", flags->key_file, "file whose first line is the key to send");
  AddJsonFlag(command, &flags->json);
  command.Footer(
      "Prompts are random tokens, or words where the server cannot be asked for tokens "
      "(/tokenize);\n"
      "answers are streams that go on to their length (ignore_eos). Failed requests and answers "
      "that\ndiffer make the exit code 1.");
  command.Runs([flags] { Run(*flags); });
}

}  // namespace darkhorse
