// A server of OpenAI's API as its client has it: this program's, llama.cpp's, or another.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "serve/http_client.h"

namespace darkhorse {

// What a stream says next, and how it ended. Servers may leave the counts out.
struct StreamPiece {
  std::string thought, content;
};
struct StreamEnd {
  std::string finish;  // "stop", "length", ...
  std::optional<int64_t> prompt_tokens, cached_tokens, answer_tokens;
};

// Of a server that refuses or cannot answer, every method throws an ApiError with the answer's
// status and what the server says, and else what HttpClient::Ask does.
class ApiClient {
 public:
  using Json = nlohmann::ordered_json;

  // `url`: the server's, with "/v1" at its end or without. `key`: "" where none is needed.
  ApiClient(const std::string& url, std::string key, HttpClient::Options options = {});

  // The name of the first model that the server has. Error: it has none.
  std::string FirstModel();
  // The ids of a text, where the server can be asked for them (/tokenize as llama.cpp has it).
  std::optional<std::vector<int32_t>> Tokenize(const std::string& text);
  // Its measurements as Prometheus reads them; "" where it has none.
  std::string Metrics();
  // Asks for a stream of one choice, "/v1/completions" or "/v1/chat/completions", and tells each of
  // its pieces that is not empty. Error: the server says that it failed, or the stream breaks off.
  StreamEnd Stream(const std::string& route, Json request,
                   const std::function<void(const StreamPiece&)>& on_piece);

 private:
  HttpAnswer Ask(const char* method, const std::string& path, const Json& body,
                 const HttpClient::Listener& listener = {});

  HttpClient client_;
  HttpClient::Headers headers_;
};

// Says in a request of a chat completion whether the model is to think, in DeepSeek's words and in
// llama.cpp's and vLLM's.
void AskForThinking(bool thinks, ApiClient::Json* request);

// The key to send: the first word of the file's first line that is neither empty nor begins with #,
// so that a server's own file of keys will do. Error: there is none.
std::string KeyOfFile(const std::string& path);

// The value of the measurement of that name among Metrics(), which has no labels; none: there is no
// such measurement.
std::optional<double> MetricOf(std::string_view metrics, std::string_view name);

}  // namespace darkhorse
