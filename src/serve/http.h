// An HTTP/1.1 server: it parses, limits and times out what clients send, and writes what handlers
// reply, whole or as a stream. It knows nothing of what is served. Boost.Beast does the protocol
// and is heavy to compile, so http.cc alone includes it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/api_error.h"

namespace darkhorse {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // without the query
  std::string body;
  // By lower-case name; of one that came twice, the first.
  std::map<std::string, std::string, std::less<>> headers;
  // The header's value; "" where there is none.
  std::string_view Header(std::string_view name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  }
};

// Numbers by name.
using HttpCounts = std::vector<std::pair<std::string, int64_t>>;

// Where one request is answered; every method may be called from any thread. Either Send once, or
// Begin, Write as often as wanted and End. What is written to a client that has gone is dropped.
class HttpReply {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  virtual ~HttpReply() = default;
  virtual void Send(int status, std::string_view type, std::string body,
                    const Headers& headers = {}) = 0;
  // heartbeat: what is written whenever nothing else was for a while.
  virtual void Begin(int status, std::string_view type, std::string heartbeat) = 0;
  virtual void Write(std::string piece) = 0;
  virtual void End() = 0;
  // What a log is to say of the request beside what the server sees itself; before its end.
  virtual void Tell(HttpCounts /*counts*/) {}
  // Calls `gone` once if the client leaves before the reply has ended, or is too slow to read it;
  // from the server's thread, where it must not wait. One that only says no more (a half-closed
  // connection) has not left.
  virtual void OnGone(std::function<void()> gone) = 0;
};

// What became of a request, for whoever keeps a log.
struct HttpEvent {
  std::string client;        // its address
  std::string method, path;  // without the query; "" of a head refused unread
  int status = 0;            // of the reply; 0: the client left before there was one
  int64_t bytes = 0;         // of the body that it sent
  double seconds = 0;        // from when it had come, or was refused, until the reply was sent
  bool left = false;         // the client left before the reply had ended
  HttpCounts counts = {};    // what its handler told
};

struct HttpOptions {
  std::string address = "127.0.0.1";  // numeric
  int port = 8080;                    // 0: any that is free
  int64_t max_connections = 1024;     // further ones are told 503
  int64_t max_header = 16 << 10;      // bytes, of all headers together
  int64_t max_body = 4 << 20;
  // A request's head must have come so many seconds after the one before, its body so many after
  // that; and a client must take what is written to it.
  double head_seconds = 30, body_seconds = 60, write_seconds = 30;
  double heartbeat_seconds = 15;
  int workers = 4;  // threads that handlers run on
  // Told of every request that was answered or whose client left, one after the other; must not
  // wait.
  std::function<void(const HttpEvent&)> log;
};

// Refuses a request when only its head has come, so that nothing is read of who may not ask. Must
// not wait.
using HttpGate = std::function<std::optional<ApiError>(const HttpRequest&)>;
// Answers a request, at once or later, on one of several threads. Must not throw.
using HttpHandler = std::function<void(HttpRequest, std::shared_ptr<HttpReply>)>;

class HttpServer {
 public:
  // Takes the address, at which nobody is answered yet. Error: it cannot be had.
  explicit HttpServer(const HttpOptions& options);
  ~HttpServer();  // Stop

  // Begins to answer. Error: another has begun to listen at the address.
  void Start(HttpGate gate, HttpHandler handler);

  int port() const;
  int64_t connections() const;
  // Waits at most so long until all that was replied has been sent, then closes every connection.
  // No handler runs after that. All replies must have been let go before the server is.
  void Stop(double seconds);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace darkhorse
