// `darkhorse serve`: a model behind HTTP.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "app/speculate_flag.h"
#include "app/weights_flag.h"
#include "base/error.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "pipeline/loaded_model.h"
#include "serve/request_log.h"
#include "serve/server.h"

namespace darkhorse {
namespace {

struct ServeFlags {
  std::string model;
  WeightsFlag weights;
  CacheFlag cache;
  SpeculateFlag speculate;
  std::vector<std::string> adapters;  // "NAME=FOLDER"
  std::string key_file, log;
  bool no_key = false;
  double grace = 30;
  ServeOptions serve;
};

// "models/SmolLM2.Q4_1.gguf" -> "SmolLM2.Q4_1", "runs/a/model/" -> "model".
std::string NameOf(const std::string& path) {
  std::filesystem::path last(path);
  if (!last.has_filename()) last = last.parent_path();
  return last.extension() == ".gguf" ? last.stem().string() : last.filename().string();
}

// The folders of the adapters, whose names go to the options.
std::vector<std::string> AdapterFolders(const std::vector<std::string>& flags,
                                        std::vector<std::string>* names) {
  std::vector<std::string> folders;
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    const std::string name = flag.substr(0, equals);
    const bool plain = std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~'; });
    if (equals == flag.npos || equals + 1 == flag.size() || name.empty() || !plain) {
      FailUsage(
          "--adapter '{}' must be NAME=FOLDER, such as --adapter law=runs/law, the name of "
          "printable ASCII without spaces",
          flag);
    }
    if (std::ranges::find(*names, name) != names->end())
      FailUsage("--adapter: two are called '{}'; give each a name of its own", name);
    names->push_back(name);
    folders.push_back(flag.substr(equals + 1));
  }
  return folders;
}

void CheckReach(const ServeFlags& flags) {
  const std::string& address = flags.serve.http.address;
  if (IsLoopback(address) || !flags.serve.access.keys.empty() || flags.no_key) return;
  FailUsage(
      "--host {}: anyone who reaches that address could ask the model; give --key-file, or "
      "--no-key to let everybody in",
      address);
}

void Run(ServeFlags& flags) {
  Validate(flags.serve.sampling);
  if (!flags.key_file.empty()) flags.serve.access.keys = ReadKeys(flags.key_file);
  CheckReach(flags);
  const std::vector<std::string> folders = AdapterFolders(flags.adapters, &flags.serve.adapters);
  flags.serve.form = flags.cache.form();
  if (flags.serve.name.empty()) flags.serve.name = NameOf(flags.model);
  CatchInterrupts();
  std::signal(SIGPIPE, SIG_IGN);  // of who reads the log and has gone: it is an error of write
  OpenedModel opened(flags.model);
  Speculation speculation(flags.speculate, opened);
  const int64_t context = std::min(flags.serve.context, opened.config().max_position_embeddings);
  if (flags.serve.cache_tokens > 0 && flags.serve.cache_tokens < context) {
    FailUsage(
        "--cache-tokens {}: one answer may have {}; give as many at least, or lower --context",
        flags.serve.cache_tokens, context);
  }
  // As many as all slots hold are no limit.
  if (flags.serve.cache_tokens >= flags.serve.slots * context) flags.serve.cache_tokens = 0;
  const CacheNeed need =
      speculation.With({.form = flags.serve.form,
                        .sequences = flags.serve.slots,
                        .tokens = context,
                        .in_all = flags.serve.cache_tokens,
                        .smaller_cache = flags.serve.cache_tokens > 0
                                             ? "lower --slots, --context or --cache-tokens"
                                             : "lower --slots or --context, or give --cache-tokens",
                        .smaller_weights = kSmallerWeights});
  std::optional<RequestLog> log;
  if (!flags.log.empty()) {
    log.emplace(flags.log, [](const std::string& what) { Note(what); });
    flags.serve.http.log = [&log](const HttpEvent& event) { log->Add(event); };
  }
  // What cannot be had is told before the model is loaded, which takes long.
  auto http = std::make_unique<HttpServer>(flags.serve.http);
  const LoadedModel loaded(std::move(opened), flags.weights.Of(flags.model), need, folders);
  Server server(loaded, flags.serve,
                speculation.Make(loaded, flags.serve.form, flags.serve.slots, context),
                std::move(http));
  const std::string& host = flags.serve.http.address;
  const bool six = host.find(':') != host.npos;
  Note(fmt::format(
      "serving {} at http://{}:{}/ · {} at once of {} each{} · Ctrl+C ends", flags.serve.name,
      six ? "[" + host + "]" : host, server.port(), Counted(flags.serve.slots, "answer"),
      Counted(server.context(), "token"),
      flags.serve.cache_tokens > 0 ? fmt::format(", {} together", flags.serve.cache_tokens) : ""));
  while (!Interrupted()) usleep(20'000);
  Note(server.idle() ? "ending" : fmt::format("ending: what runs has {} s to finish", flags.grace));
  server.Stop(flags.grace);
}

}  // namespace

void RegisterServe(Command app) {
  const auto flags = std::make_shared<ServeFlags>();
  flags->serve.sampling.temperature = 0.6f;
  HttpOptions& http = flags->serve.http;
  Command command = app.AddCommand("serve", "Serve a model over HTTP, as OpenAI's API has it");
  command.Add("model,--model", flags->model, kModelFiles).Required();
  flags->weights.Register(command, kTrainedWeights);
  command
      .Add(
          "--adapter", flags->adapters,
          "NAME=FOLDER: also serve the model with this adapter, called MODEL:NAME; may be repeated")
      .OneValueEachTime();
  command.Add("--host", http.address, "numeric address to listen on");
  command.Add("--port", http.port, "0: any that is free").Within(0, 65535);
  command.Add("--name", flags->serve.name, "what the model is called; else its file's name");
  command
      .Add("--context", flags->serve.context,
           "longest prompt and answer together, tokens; the model's own if less")
      .Within(2, INT32_MAX);
  command.Add("--slots", flags->serve.slots, "answers computed at once").Within(1, kMaxBatch);
  command
      .Add("--cache-tokens", flags->serve.cache_tokens,
           "tokens of all answers at once and of what is remembered; 0: as many as all slots hold")
      .Within(0, INT64_MAX);
  command.Add("--queue", flags->serve.queue, "requests that may wait; further ones are refused")
      .Within(0, 1 << 20);
  command
      .Add("--prefill-rows", flags->serve.prefill_rows,
           "tokens of prompts computed in one step, while which others wait for theirs")
      .Within(1, 1 << 16);
  flags->cache.Register(command,
                        "expanded: training's bits; latent: small memory, for long contexts");
  flags->speculate.Register(command);
  AddSamplingFlags(command, &flags->serve.sampling);
  command.Add("--key-file", flags->key_file,
              "file of keys, one a line, of which clients send one; \"KEY name=NAME concurrent=N "
              "tokens-per-minute=N\" limits one");
  command.Add("--no-key", flags->no_key, "listen beyond this machine without keys");
  command
      .Add("--host-name", flags->serve.access.host_names,
           "a name that the server is reached by, behind a proxy say; may be repeated")
      .OneValueEachTime();
  command.Add("--max-body", http.max_body, "largest request, bytes").Within(1024, 1 << 30);
  command.Add("--max-connections", http.max_connections, "open at once").Within(1, 1 << 16);
  command.Add("--log", flags->log,
              "file to append a line of JSON to for each request, without its text; -: stderr");
  command.Add("--grace", flags->grace, "seconds that answers have to finish when the server ends")
      .WithinReals(0, 86400);
  command.Footer(
      "POST /v1/chat/completions and /v1/completions, GET /v1/models, /health, /metrics, and a "
      "page "
      "to\nchat at /; docs/serve.md has the rest. The sampling flags hold where a request says "
      "nothing.");
  command.Runs([flags] { Run(*flags); });
}

}  // namespace darkhorse
