#include "serve/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <charconv>
#include <chrono>
#include <optional>

#include "base/ascii.h"
#include "base/error.h"

namespace darkhorse {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using boost::system::error_code;
using Parser = http::response_parser<http::string_body>;

// How long a wait may last before `stop` is asked again.
constexpr auto kAskStopEvery = std::chrono::milliseconds(100);

std::chrono::nanoseconds Seconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

std::string Why(const error_code& error) {
  if (error == beast::error::timeout) return "it took too long";
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == asio::error::eof || error == asio::error::connection_reset) {
    return "the server closed the connection";
  }
  return error.message();
}

}  // namespace

std::string HttpUrl::Authority() const {
  const bool six = host.find(':') != host.npos;
  return fmt::format("{}:{}", six ? "[" + host + "]" : host, port);
}

HttpUrl ParseHttpUrl(std::string_view url) {
  const std::string whole = Printable(url);
  const size_t scheme_end = url.find("://");
  if (scheme_end != url.npos) {
    if (const std::string scheme = LowerAscii(url.substr(0, scheme_end)); scheme != "http") {
      FailUsage("{}: only http:// is spoken; for TLS ask through a proxy on this machine", whole);
    }
    url.remove_prefix(scheme_end + 3);
  }
  HttpUrl parsed;
  const size_t path = std::min(url.find('/'), url.size());
  parsed.path = url.substr(path);
  while (parsed.path.ends_with('/')) parsed.path.pop_back();
  std::string_view server = url.substr(0, path);
  if (url.find_first_of("?#@ \t\r\n") != url.npos)
    FailUsage("{}: give a server and a path alone, such as http://127.0.0.1:8080/v1", whole);
  // "[::1]:80": the port stands behind the bracket.
  const bool bracket = server.starts_with('[');
  const size_t host_end = bracket ? server.find(']') : std::min(server.find(':'), server.size());
  if (host_end != server.npos) {
    parsed.host = server.substr(bracket ? 1 : 0, host_end - (bracket ? 1 : 0));
    server.remove_prefix(host_end + (bracket ? 1 : 0));
  }
  bool right = !parsed.host.empty();
  if (right && !server.empty()) {
    const char* end = server.data() + server.size();
    const auto [stop, error] = std::from_chars(server.data() + 1, end, parsed.port);
    right = server.front() == ':' && error == std::errc() && stop == end && parsed.port > 0 &&
            parsed.port < 65536;
  }
  if (!right) FailUsage("{} names no server; write it as http://127.0.0.1:8080", whole);
  return parsed;
}

class HttpClient::Impl {
 public:
  Impl(HttpUrl url, Options options) : url_(std::move(url)), options_(std::move(options)) {}

  HttpAnswer Ask(std::string_view method, std::string_view path, const Headers& headers,
                 std::string body, const Listener& listener) {
    http::request<http::string_body> request(http::string_to_verb(method),
                                             url_.path + std::string(path), 11);
    request.set(http::field::host, url_.Authority());
    for (const auto& [name, value] : headers) request.set(name, value);
    request.body() = std::move(body);
    request.prepare_payload();
    try {
      // A kept connection may have been closed by the server meanwhile. Then the request has not
      // been answered, and is asked once more over a new one.
      std::optional<Parser> parser(std::in_place);
      if (stream_) {
        if (const error_code error = Send(request, &*parser)) {
          if (error == beast::error::timeout) FailTalk(error);
          stream_.reset();
          parser.emplace();
        }
      }
      if (!stream_) {
        Connect();
        if (const error_code error = Send(request, &*parser)) FailTalk(error);
      }
      return Receive(*parser, listener);
    } catch (...) {
      stream_.reset();  // what else comes over it would be taken for the next answer
      throw;
    }
  }

 private:
  // Begins an operation, which reports to the function it is given, and waits until it has ended.
  template <typename Begin>
  error_code Wait(double seconds, Begin begin) {
    std::optional<error_code> ended;
    stream_->expires_after(Seconds(seconds));
    begin([&](error_code error, const auto&...) { ended = error; });
    io_.restart();
    while (!ended) {
      io_.run_for(kAskStopEvery);
      if (ended || !options_.stop || !options_.stop()) continue;
      stream_->close();
      io_.run();
      throw Interruption();
    }
    return *ended;
  }

  void Connect() {
    error_code error;
    const auto found = Tcp::resolver(io_).resolve(url_.host, std::to_string(url_.port), error);
    if (!error) {
      stream_.emplace(io_);
      buffer_.clear();
      error = Wait(options_.connect_seconds,
                   [&](auto report) { stream_->async_connect(found, report); });
    }
    if (error) {
      Fail("cannot reach http://{}: {}; is a server running there?", Printable(url_.Authority()),
           Why(error));
    }
    stream_->socket().set_option(Tcp::no_delay(true), error);
  }

  [[noreturn]] void FailTalk(const error_code& error) const {
    Fail("http://{}: {}", Printable(url_.Authority()), Why(error));
  }

  // Sends a request and reads the head of its answer.
  error_code Send(const http::request<http::string_body>& request, Parser* parser) {
    parser->body_limit(static_cast<uint64_t>(options_.most_bytes));
    if (const error_code error = Wait(options_.idle_seconds, [&](auto report) {
          http::async_write(*stream_, request, report);
        })) {
      return error;
    }
    return Wait(options_.idle_seconds,
                [&](auto report) { http::async_read_header(*stream_, buffer_, *parser, report); });
  }

  HttpAnswer Receive(Parser& parser, const Listener& listener) {
    HttpAnswer answer;
    answer.status = static_cast<int>(parser.get().result_int());
    answer.type = std::string(parser.get()[http::field::content_type]);
    const bool tell = listener && answer.status == 200;
    std::string& body = parser.get().body();
    const auto told = [&] {
      if (tell && !body.empty()) listener(std::exchange(body, {}));
    };
    while (!parser.is_done()) {
      if (const error_code error = Wait(options_.idle_seconds, [&](auto report) {
            http::async_read_some(*stream_, buffer_, parser, report);
          })) {
        FailTalk(error);
      }
      told();
    }
    told();
    answer.body = std::move(body);
    if (!parser.get().keep_alive()) stream_.reset();
    return answer;
  }

  const HttpUrl url_;
  const Options options_;
  asio::io_context io_;
  std::optional<beast::tcp_stream> stream_;  // none: not connected
  beast::flat_buffer buffer_;
};

HttpClient::HttpClient(HttpUrl url, Options options)
    : impl_(std::make_unique<Impl>(std::move(url), std::move(options))) {}
HttpClient::~HttpClient() = default;

HttpAnswer HttpClient::Ask(std::string_view method, std::string_view path, const Headers& headers,
                           std::string body, const Listener& listener) {
  return impl_->Ask(method, path, headers, std::move(body), listener);
}

}  // namespace darkhorse
