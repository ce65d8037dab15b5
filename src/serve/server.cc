#include "serve/server.h"

#include <atomic>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "infer/engine.h"
#include "serve/api_error.h"
#include "serve/api_response.h"
#include "serve/completion_job.h"
#include "serve/embeddings.h"
#include "serve/key_limits.h"
#include "serve/page.h"
#include "serve/scheduler.h"
#include "serve/served_model.h"
#include "text/fill_in.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;
using Reply = std::shared_ptr<HttpReply>;

void SendError(const Reply& reply, const ApiError& error) {
  HttpReply::Headers headers;
  if (error.status() == 429 || error.status() == 503)
    headers.emplace_back("Retry-After", std::to_string(error.retry_after()));
  if (error.status() == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
  reply->Send(error.status(), "application/json", ErrorBody(error), headers);
}

// The longest text that any token stands for, bytes.
int64_t LongestToken(const Tokenizer& tokenizer) {
  size_t longest = 1;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    longest = std::max(longest, tokenizer.TokenBytes(id).size());
  return static_cast<int64_t>(longest);
}

std::vector<std::unique_ptr<ServedModel>> ServedModels(const LoadedModel& loaded,
                                                       const ServeOptions& options) {
  std::vector<std::unique_ptr<ServedModel>> served;
  served.push_back(
      std::make_unique<ServedModel>(loaded, options.name, /*adapter=*/0, loaded.chat_format()));
  CHECK(options.adapters.size() == loaded.adapters().size());
  for (size_t i = 0; i < options.adapters.size(); ++i) {
    served.push_back(std::make_unique<ServedModel>(loaded, options.name + ":" + options.adapters[i],
                                                   static_cast<int32_t>(i + 1),
                                                   loaded.adapters()[i].chat_format));
  }
  return served;
}

void SendJson(const Reply& reply, const Json& json) {
  reply->Send(200, "application/json", DumpJson(json));
}

}  // namespace

class Server::Impl {
 public:
  Impl(const LoadedModel& loaded, const ServeOptions& options, std::unique_ptr<Proposer> proposer,
       std::unique_ptr<HttpServer> http)
      : loaded_(loaded),
        options_(options),
        context_(std::min(options.context, loaded.config().max_position_embeddings)),
        most_bytes_(context_ * LongestToken(loaded.tokenizer())),
        started_(std::time(nullptr)),
        key_limits_(options.access.keys),
        fill_in_(FillInMarksOf(loaded.tokenizer())),
        served_(ServedModels(loaded, options)),
        engine_(loaded.model(), loaded.weights(),
                {.form = options.form,
                 .slots = options.slots,
                 .capacity = context_,
                 .prefill_rows = options.prefill_rows,
                 .remember = true,
                 .cache_tokens = options.cache_tokens},
                std::move(proposer)),
        scheduler_(engine_, options.slots + options.queue),
        http_(http ? std::move(http) : std::make_unique<HttpServer>(options.http)) {
    http_->Start(
        [this](const HttpRequest& request) { return RefuseAccess(options_.access, request); },
        [this](HttpRequest request, Reply reply) { Handle(request, reply); });
  }

  ~Impl() { Stop(0); }

  int port() const { return http_->port(); }
  int64_t context() const { return context_; }
  bool idle() { return scheduler_.WaitIdle(0); }

  void Stop(double grace_seconds) {
    closing_ = true;
    scheduler_.Close();
    scheduler_.WaitIdle(grace_seconds);
    scheduler_.Stop();
    http_->Stop(/*seconds=*/2);
  }

 private:
  using Route = void (Impl::*)(const HttpRequest&, const Reply&);
  struct Method {
    const char* name;
    Route route;
  };

  static const std::map<std::string, Method>& Routes() {
    static const std::map<std::string, Method> routes = {
        {"/health", {"GET", &Impl::Health}},
        {"/metrics", {"GET", &Impl::Metrics}},
        {"/v1/models", {"GET", &Impl::Models}},
        {"/v1/chat/completions", {"POST", &Impl::ChatCompletions}},
        {"/v1/completions", {"POST", &Impl::Completions}},
        {"/v1/embeddings", {"POST", &Impl::Embeddings}},
        {"/tokenize", {"POST", &Impl::Tokenize}},
        {"/detokenize", {"POST", &Impl::Detokenize}},
        {"/apply-template", {"POST", &Impl::ApplyTemplate}},
    };
    return routes;
  }

  void Handle(const HttpRequest& request, const Reply& reply) {
    try {
      const auto found = Routes().find(request.path);
      const PageFile* file = FindPageFile(request.path);
      if (found == Routes().end() && file == nullptr) {
        throw ApiError(
            404, fmt::format("there is no {}; see docs/serve.md", Printable(request.path, 100)));
      }
      const std::string method = request.method == "HEAD" ? "GET" : request.method;
      const char* takes = file ? "GET" : found->second.name;
      if (method != takes) {
        throw ApiError(405, fmt::format("{} takes {}, not {}", request.path, takes,
                                        Printable(request.method, 20)));
      }
      if (file) return SendPageFile(*file, request, reply.get());
      (this->*found->second.route)(request, reply);
    } catch (const ApiError& error) {
      SendError(reply, error);
    } catch (const Error& error) {  // of what was asked: a prompt too long, a template that refuses
      SendError(reply, ApiError(400, error.what()));
    } catch (const std::exception& error) {
      SendError(reply, ApiError(500, error.what()));
    }
  }

  void Health(const HttpRequest&, const Reply& reply) {
    if (closing_) throw ApiError(503, "the server is shutting down");
    SendJson(reply, {{"status", "ok"}});
  }

  void Models(const HttpRequest&, const Reply& reply) {
    Json list = Json::array();
    for (const auto& model : served_) {
      list.push_back({{"id", model->name()},
                      {"object", "model"},
                      {"created", started_},
                      {"owned_by", "darkhorse"},
                      {"context_length", context_}});
      if (model != served_.front()) list.back()["parent"] = served_.front()->name();
    }
    SendJson(reply, {{"object", "list"}, {"data", std::move(list)}});
  }

  void ChatCompletions(const HttpRequest& http, const Reply& reply) {
    ChatRequest request = ParseChatRequest(http.body, options_.sampling, options_.limits);
    ServedModel& model = Find(request.model);
    CheckLength(request.messages);
    const ToolFields& tools = request.tools;
    model.SpellForTemplate(&request.messages, tools);
    const ChatPrompt prompt = model.prompter().Prompt(
        request.messages,
        {request.variables, tools.offered, request.continue_final_message, LocalNow()});
    AnswerText::Options text{
        .splits = true, .in_thought = prompt.begins_in_thought, .stops = request.stop};
    if (tools.choice != ToolFields::Choice::kNone) {
      text.calls = model.call_format();
      text.shown = model.call_marks();
      for (const Tool& tool : tools.tools) text.tools.push_back(tool.name);
    }
    Complete(http, model, request,
             {.kind = ApiResponse::Kind::kChat,
              .prompts = {prompt.tokens},
              .echoes = {""},
              .text = text,
              .one_call = !tools.several,
              .constraint = model.ConstraintOf(request, prompt),
              .thought = model.BudgetOf(request, prompt)},
             reply);
  }

  void Completions(const HttpRequest& http, const Reply& reply) {
    const TextRequest request = ParseTextRequest(http.body, options_.sampling, options_.limits);
    ServedModel& model = Find(request.model);
    Work work{.kind = ApiResponse::Kind::kText,
              .text = {.splits = false, .stops = request.stop},
              .tells_prompts = request.echo && request.top_logprobs,
              .constraint = model.ConstraintOf(request)};
    const bool fills = !request.suffix.empty();
    if (fills && !fill_in_) {
      throw ApiError(400,
                     "'suffix': this model knows no tokens for filling in, such as <|fim_prefix|>; "
                     "take one that was trained for it",
                     "suffix", "unsupported");
    }
    if (fills) work.ends = fill_in_->ends;
    for (const TextOrTokens& prompt : request.prompts) {
      // A prompt is the client's own text from its first byte: special tokens in it are meant.
      const auto* words = std::get_if<std::string>(&prompt);
      work.prompts.push_back(
          TokensOf(fills ? FillInPrompt(*fill_in_, *words, request.suffix) : prompt,
                   /*special=*/true));
      work.echoes.push_back(!request.echo ? ""
                            : words       ? *words
                                          : loaded_.tokenizer().Decode(work.prompts.back()));
    }
    Complete(http, model, request, std::move(work), reply);
  }

  void Embeddings(const HttpRequest& http, const Reply& reply) {
    const EmbeddingRequest request =
        ParseEmbeddingRequest(http.body, loaded_.config().hidden_size, options_.limits);
    const ServedModel& model = Find(request.model);
    std::vector<GenerationRequest> requests;
    std::vector<int64_t> tokens;
    for (const TextOrTokens& input : request.inputs) {
      // Documents come from anywhere: special tokens in them are text.
      requests.push_back(EmbeddingOf(TokensOf(input, /*special=*/false), model.adapter()));
      tokens.push_back(static_cast<int64_t>(requests.back().prompt.size()));
    }
    Submit(http, std::move(requests),
           std::make_shared<EmbeddingJob>(reply, model.name(), request.base64, tokens,
                                          [this] { ++answered_; }),
           reply);
  }

  std::vector<int32_t> TokensOf(const TextOrTokens& text, bool special) const {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&text)) return *ids;
    const auto& words = std::get<std::string>(text);
    CheckLength(words.size());
    return loaded_.PromptTokens(words, special);
  }

  // What a request for completions becomes.
  struct Work {
    ApiResponse::Kind kind;
    std::vector<std::vector<int32_t>> prompts;
    std::vector<std::string> echoes;  // what the texts of each begin with
    AnswerText::Options text;
    bool one_call = false;
    bool tells_prompts = false;  // how probable their tokens are
    std::vector<int32_t> ends;   // tokens that end an answer, beside the model's own
    ServedModel::Constraint constraint;
    std::optional<ThoughtBudget> thought;
  };

  void Complete(const HttpRequest& http, const ServedModel& model, const CompletionFields& fields,
                Work work, const Reply& reply) {
    if (fields.ignore_eos && work.constraint) {
      throw ApiError(400, "'ignore_eos': an answer of a form ends where the form does",
                     "ignore_eos");
    }
    GenerationRequest request;
    request.adapter = model.adapter();
    request.samples = fields.n;
    request.max_tokens = fields.max_tokens.value_or(context_);
    request.sampling = fields.sampling;
    request.seed = fields.seed ? *fields.seed : FreshBits();
    if (!fields.ignore_eos) {
      request.stop_tokens = StopTokens(loaded_.config());
      request.stop_tokens.insert(request.stop_tokens.end(), work.ends.begin(), work.ends.end());
    }
    for (const std::string& stop : fields.stop) {  // of a special token no text shows
      const auto id = loaded_.tokenizer().TokenId(stop);
      if (id && IsHiddenFromPeople(loaded_.tokenizer(), *id)) request.stop_tokens.push_back(*id);
    }
    request.never = loaded_.silent_tokens();
    request.logit_bias = fields.logit_bias;
    request.top_logp = fields.top_logprobs.value_or(0);
    request.of_prompt.logp = work.tells_prompts;
    request.constraint = work.constraint;
    request.thought = work.thought;
    std::vector<CompletionJob::Part> parts;
    std::vector<GenerationRequest> requests;
    for (size_t p = 0; p < work.prompts.size(); ++p) {
      std::vector<int32_t>& prompt = work.prompts[p];
      parts.push_back({static_cast<int64_t>(prompt.size()), fields.n, std::move(work.echoes[p]),
                       work.tells_prompts ? prompt : std::vector<int32_t>(), work.text});
      request.prompt = std::move(prompt);
      request.stream = static_cast<uint64_t>(p) * static_cast<uint64_t>(fields.n);
      requests.push_back(request);
    }
    const bool with_chances = fields.top_logprobs.has_value();
    auto job = std::make_shared<CompletionJob>(
        reply, ApiResponse(work.kind, model.name(), loaded_.tokenizer(), with_chances),
        loaded_.tokenizer(), std::move(parts),
        CompletionJob::Options{.stream = fields.stream,
                               .include_usage = fields.include_usage,
                               .with_chances = with_chances,
                               .one_call = work.one_call,
                               .end_chance = work.kind == ApiResponse::Kind::kText},
        [this] { ++answered_; });
    Submit(http, std::move(requests), std::move(job), reply);
  }

  // Hands requests to the engine, for as long as the client is there and as far as its key goes.
  // ApiError 429, 503.
  void Submit(const HttpRequest& http, std::vector<GenerationRequest> requests,
              std::shared_ptr<Job> job, const Reply& reply) {
    if (const auto key = FindKey(options_.access, http))
      job = key_limits_.Metered(*key, requests, std::move(job));
    Scheduler::Refusal refusal{};
    const auto ticket = scheduler_.Submit(std::move(requests), std::move(job), &refusal);
    if (!ticket && refusal == Scheduler::Refusal::kClosed)
      throw ApiError(503, "the server is shutting down");
    if (!ticket) {
      ++refused_;
      throw ApiError(429, "too many requests wait already; try again later", "", "queue_full");
    }
    reply->OnGone([this, ticket = *ticket] {
      ++left_;
      scheduler_.Cancel(ticket);
    });
  }

  // Turns away what cannot fit before it is tokenized, which takes long.
  void CheckLength(size_t bytes) const {
    if (static_cast<int64_t>(bytes) <= most_bytes_) return;
    throw ApiError(400, fmt::format("the text has {} bytes; {} tokens have at most {}; shorten it",
                                    bytes, context_, most_bytes_));
  }
  void CheckLength(const Json& messages) const {
    size_t bytes = 0;
    for (const Json& message : messages) {
      const Json& content = message.at("content");
      if (content.is_string()) bytes += content.get_ref<const std::string&>().size();
    }
    CheckLength(bytes);
  }

  // The model of a request, by its field `model`. ApiError 404.
  ServedModel& Find(const std::string& name) {
    if (name.empty()) return *served_.front();
    std::vector<std::string_view> names;
    for (const auto& model : served_) {
      if (model->name() == name) return *model;
      names.push_back(model->name());
    }
    throw ApiError(404,
                   fmt::format("there is no model '{}'; this server has '{}'", Printable(name, 100),
                               fmt::join(names, "', '")),
                   "model", "model_not_found");
  }

  void Tokenize(const HttpRequest& http, const Reply& reply) {
    const TokenizeRequest request = ParseTokenizeRequest(http.body, options_.limits);
    CheckLength(request.content.size());
    std::vector<int32_t> tokens;
    loaded_.tokenizer().Encode(request.content, &tokens, request.special);
    SendJson(reply, {{"tokens", tokens}});
  }

  void Detokenize(const HttpRequest& http, const Reply& reply) {
    const std::vector<int32_t> ids = ParseDetokenizeRequest(http.body, options_.limits);
    const int64_t known = loaded_.config().vocab_size;
    for (const int32_t id : ids) {
      if (id >= known)
        throw ApiError(400, fmt::format("{} is no token: the vocabulary has {}", id, known),
                       "tokens");
    }
    SendJson(reply, {{"content", loaded_.tokenizer().Decode(ids)}});
  }

  void ApplyTemplate(const HttpRequest& http, const Reply& reply) {
    const Json object = ParseBody(http.body, options_.limits);
    Json messages = ParseMessages(object, options_.limits);
    const ServedModel& model = Find(request_field::String(object, "model"));
    const ToolFields tools = ParseTools(object, options_.limits);
    model.SpellForTemplate(&messages, tools);
    const ChatPrompter::Options how{ParseTemplateVariables(object), tools.offered,
                                    ContinuesFinalMessage(object), LocalNow()};
    SendJson(reply, {{"prompt", model.prompter().Render(messages, how).bytes()}});
  }

  // Of those that have names.
  std::string KeyMetrics() const {
    std::string text;
    const std::vector<AccessKey>& keys = options_.access.keys;
    for (size_t key = 0; key < keys.size(); ++key) {
      if (keys[key].name.empty()) continue;
      if (text.empty()) {
        text =
            "# HELP darkhorse_key_tokens_total Tokens of prompts and answers that a key has used.\n"
            "# TYPE darkhorse_key_tokens_total counter\n";
      }
      text += fmt::format("darkhorse_key_tokens_total{{key=\"{}\"}} {}\n", keys[key].name,
                          key_limits_.used(key));
    }
    return text;
  }

  void Metrics(const HttpRequest&, const Reply& reply) {
    const SchedulerStats stats = scheduler_.stats();
    std::string text;
    const auto add = [&](const char* type, const char* name, const char* help, auto value) {
      text += fmt::format("# HELP darkhorse_{0} {1}\n# TYPE darkhorse_{0} {2}\ndarkhorse_{0} {3}\n",
                          name, help, type, value);
    };
    add("counter", "requests_answered_total", "Requests for completions answered to their end.",
        answered_.load());
    add("counter", "requests_refused_total", "Those refused because too many waited.",
        refused_.load());
    add("counter", "clients_left_total", "Those whose client left before the end.", left_.load());
    add("counter", "prompt_tokens_total", "Prompt tokens computed.", stats.engine.prompt_tokens);
    add("counter", "prompt_tokens_cached_total", "Prompt tokens that had been computed before.",
        stats.engine.shared_tokens);
    add("counter", "generated_tokens_total", "Tokens generated.", stats.engine.generated_tokens);
    add("counter", "guessed_tokens_total", "Tokens guessed and computed ahead.",
        stats.engine.work.guessed);
    add("counter", "accepted_tokens_total", "Those of them that were right.",
        stats.engine.work.accepted);
    add("counter", "preempted_total", "Times that an answer gave way for want of cache.",
        stats.engine.preempted);
    add("counter", "steps_total", "Forward passes.", stats.steps);
    add("counter", "step_seconds_total", "Seconds in forward passes.", stats.step_seconds);
    add("gauge", "completions_running", "Completions that are being computed.", stats.running);
    add("gauge", "completions_waiting", "Completions that wait for a slot.", stats.waiting);
    add("gauge", "slots", "Completions that can be computed at once.", options_.slots);
    add("gauge", "cache_tokens", "Tokens that the cache holds of all completions together.",
        options_.cache_tokens > 0 ? options_.cache_tokens : options_.slots * context_);
    add("gauge", "connections", "Open connections.", http_->connections());
    // As Prometheus' own clients name it.
    text += fmt::format(
        "# HELP process_resident_memory_bytes Memory of the process that is in RAM.\n"
        "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {}\n",
        ResidentMemoryBytes());
    text += KeyMetrics();
    reply->Send(200, "text/plain; version=0.0.4", text);
  }

  const LoadedModel& loaded_;
  const ServeOptions options_;
  const int64_t context_;
  const int64_t most_bytes_;  // of a text that can fit in the context
  const int64_t started_;
  KeyLimits key_limits_;
  const std::optional<FillInMarks> fill_in_;  // none: the model does not fill in
  std::atomic<bool> closing_ = false;
  std::atomic<int64_t> answered_ = 0, refused_ = 0, left_ = 0;
  // The one that requests without a name are for first.
  const std::vector<std::unique_ptr<ServedModel>> served_;
  Engine engine_;
  Scheduler scheduler_;
  std::unique_ptr<HttpServer> http_;  // last: its handlers use the rest
};

Server::Server(const LoadedModel& loaded, const ServeOptions& options,
               std::unique_ptr<Proposer> proposer, std::unique_ptr<HttpServer> http)
    : impl_(std::make_unique<Impl>(loaded, options, std::move(proposer), std::move(http))) {}
Server::~Server() = default;
int Server::port() const { return impl_->port(); }
int64_t Server::context() const { return impl_->context(); }
bool Server::idle() { return impl_->idle(); }
void Server::Stop(double grace_seconds) { impl_->Stop(grace_seconds); }

}  // namespace darkhorse
