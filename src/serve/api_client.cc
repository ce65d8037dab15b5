#include "serve/api_client.h"

#include <cstdlib>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "serve/api_error.h"
#include "serve/event_stream.h"

namespace darkhorse {
namespace {

using Json = ApiClient::Json;

constexpr int kJsonDepth = 64;
constexpr int64_t kMostKeyFileBytes = 1 << 20;
constexpr size_t kMostTold = 400;  // bytes of what a server says that went wrong

HttpUrl RootOf(const std::string& url) {
  HttpUrl root = ParseHttpUrl(url);
  if (root.path.ends_with("/v1")) root.path.resize(root.path.size() - 3);
  return root;
}

// The member of that name of an object; null where there is none.
Json At(const Json& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name] : Json();
}

std::string TextAt(const Json& object, const char* name) {
  const Json text = At(object, name);
  return text.is_string() ? text.get<std::string>() : "";
}

std::optional<int64_t> CountAt(const Json& object, const char* name) {
  const Json count = At(object, name);
  return count.is_number_integer() ? std::optional(count.get<int64_t>()) : std::nullopt;
}

// What an error says: OpenAI's object, a plain string, or whatever was sent.
std::string Told(const std::string& body) {
  const Json error = At(TryParseJson<Json>(body, nullptr, kJsonDepth).value_or(Json()), "error");
  const std::string message =
      error.is_string() ? error.get<std::string>() : TextAt(error, "message");
  return Printable(message.empty() ? body : message, kMostTold);
}

Json ParseAnswer(const std::string& body) {
  std::string why;
  auto json = TryParseJson<Json>(body, &why, kJsonDepth);
  if (!json || !json->is_object())
    Fail("the server answers what is no JSON object: {}", Printable(body));
  return *json;
}

// What a stream has said so far.
struct Stream {
  StreamEnd end;
  bool done = false;

  void Take(const std::string& data, const std::function<void(const StreamPiece&)>& on_piece) {
    if (data == "[DONE]") {
      done = true;
      return;
    }
    const Json event = ParseAnswer(data);
    if (event.contains("error")) Fail("the server: {}", Told(data));
    const Json choices = At(event, "choices");
    for (const Json& choice : choices.is_array() ? choices : Json::array()) {
      const Json delta = At(choice, "delta");
      const StreamPiece piece{TextAt(delta, "reasoning_content"),
                              TextAt(delta, "content") + TextAt(choice, "text")};
      if (!piece.thought.empty() || !piece.content.empty()) on_piece(piece);
      if (const std::string finish = TextAt(choice, "finish_reason"); !finish.empty())
        end.finish = finish;
    }
    const Json usage = At(event, "usage");
    if (!usage.is_object()) return;
    end.prompt_tokens = CountAt(usage, "prompt_tokens");
    end.cached_tokens = CountAt(At(usage, "prompt_tokens_details"), "cached_tokens");
    end.answer_tokens = CountAt(usage, "completion_tokens");
  }
};

}  // namespace

ApiClient::ApiClient(const std::string& url, std::string key, HttpClient::Options options)
    : client_(RootOf(url), std::move(options)),
      headers_({{"Accept", "application/json, text/event-stream"}}) {
  if (!key.empty()) headers_.emplace_back("Authorization", "Bearer " + std::move(key));
}

HttpAnswer ApiClient::Ask(const char* method, const std::string& path, const Json& body,
                          const HttpClient::Listener& listener) {
  HttpClient::Headers headers = headers_;
  if (!body.is_null()) headers.emplace_back("Content-Type", "application/json");
  HttpAnswer answer =
      client_.Ask(method, path, headers, body.is_null() ? "" : body.dump(), listener);
  if (answer.status != 200)
    throw ApiError(answer.status, fmt::format("HTTP {}: {}", answer.status, Told(answer.body)));
  return answer;
}

std::string ApiClient::FirstModel() {
  const Json models = At(ParseAnswer(Ask("GET", "/v1/models", {}).body), "data");
  const std::string name = models.is_array() && !models.empty() ? TextAt(models.front(), "id") : "";
  if (name.empty()) Fail("the server tells of no model at /v1/models; name one with --model");
  return name;
}

std::optional<std::vector<int32_t>> ApiClient::Tokenize(const std::string& text) {
  try {
    const Json tokens =
        At(ParseAnswer(Ask("POST", "/tokenize", {{"content", text}}).body), "tokens");
    std::vector<int32_t> ids;
    for (const Json& token : tokens.is_array() ? tokens : Json::array()) {
      if (!token.is_number_integer()) return std::nullopt;
      ids.push_back(token.get<int32_t>());
    }
    return ids.empty() ? std::nullopt : std::optional(ids);
  } catch (const ApiError& error) {
    if (error.status() == 401 || error.status() == 403) throw;
    return std::nullopt;
  }
}

std::string ApiClient::Metrics() {
  try {
    return Ask("GET", "/metrics", {}).body;
  } catch (const ApiError&) {
    return "";
  }
}

StreamEnd ApiClient::Stream(const std::string& route, Json request,
                            const std::function<void(const StreamPiece&)>& on_piece) {
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  EventStream events;
  struct Stream stream;
  const HttpAnswer answer = Ask("POST", route, request, [&](std::string_view piece) {
    for (const std::string& data : events.Next(piece)) stream.Take(data, on_piece);
  });
  if (!stream.done && !answer.type.starts_with("text/event-stream"))
    Fail("the server answers with no stream of events");
  if (!stream.done) Fail("the stream ended before its end was told");
  return stream.end;
}

void AskForThinking(bool thinks, ApiClient::Json* request) {
  (*request)["thinking"] = {{"type", thinks ? "enabled" : "disabled"}};
  (*request)["chat_template_kwargs"] = {{"enable_thinking", thinks}};
}

std::string KeyOfFile(const std::string& path) {
  std::istringstream lines(ReadFileOrPipe(path, kMostKeyFileBytes));
  for (std::string line; std::getline(lines, line);) {
    std::string key;
    if (std::istringstream(line) >> key && !key.starts_with('#')) return key;
  }
  Fail("{}: it has no key; write one on a line", path);
}

std::optional<double> MetricOf(std::string_view metrics, std::string_view name) {
  while (!metrics.empty()) {
    const std::string_view line = metrics.substr(0, metrics.find('\n'));
    metrics.remove_prefix(std::min(line.size() + 1, metrics.size()));
    if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ' ') continue;
    return std::strtod(std::string(line.substr(name.size() + 1)).c_str(), nullptr);
  }
  return std::nullopt;
}

}  // namespace darkhorse
