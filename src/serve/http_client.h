// An HTTP/1.1 client: one request after the other over one connection, answers as they come. It
// waits on the calling thread. Boost.Beast is heavy to compile, so http_client.cc alone includes
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/interrupt.h"

namespace darkhorse {

struct HttpUrl {
  std::string host;  // a name or a numeric address, without brackets
  int port = 80;
  std::string path;  // "" or "/v1", without a slash at its end

  // The server's part of it, as a request's Host has it: "127.0.0.1:8080", "[::1]:80".
  std::string Authority() const;
};

// "http://127.0.0.1:8080/v1/"; "http://" may be left out. UsageError: another scheme, a port that
// is none, a query, a user's name.
HttpUrl ParseHttpUrl(std::string_view url);

struct HttpAnswer {
  int status = 0;
  std::string type;  // Content-Type
  std::string body;
};

class HttpClient {
 public:
  struct Options {
    double connect_seconds = 10;
    double idle_seconds = 600;              // so long without a byte, and the server is given up
    int64_t most_bytes = int64_t{1} << 30;  // of an answer
    StopRequest stop;                       // asked while it waits, several times a second
  };
  using Headers = std::vector<std::pair<std::string, std::string>>;
  using Listener = std::function<void(std::string_view piece)>;

  HttpClient(HttpUrl url, Options options);
  ~HttpClient();

  // Asks for the URL's path followed by `path`. The connection is kept for the next request where
  // the server allows it. With a listener the body of an answer of status 200 goes to it piece by
  // piece, and is not in what is returned; what the listener throws ends the connection. Error:
  // nobody answers there, or not in HTTP, or the answer breaks off. Interruption: asked to stop.
  HttpAnswer Ask(std::string_view method, std::string_view path, const Headers& headers,
                 std::string body, const Listener& listener = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace darkhorse
