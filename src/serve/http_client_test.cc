#include "serve/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "serve/http.h"

namespace darkhorse {
namespace {

template <typename What>
std::string ErrorOf(What what) {
  try {
    what();
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

// A server that answers each connection with fixed bytes, and then closes it.
class RawServer {
 public:
  explicit RawServer(std::string bytes) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_, 8), 0);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, bytes] {
      for (int client; (client = accept(socket_, nullptr, nullptr)) >= 0;) {
        ++connections;
        char request[4096];
        (void)!recv(client, request, sizeof(request), 0);
        (void)!send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        close(client);
      }
    });
  }
  ~RawServer() {
    shutdown(socket_, SHUT_RDWR);
    thread_.join();
    close(socket_);
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  std::atomic<int> connections = 0;

 private:
  int socket_, port_;
  std::thread thread_;
};

class HttpClientTest : public testing::Test {
 protected:
  void Serve(HttpOptions options = {}) {
    options.port = 0;
    server_.emplace(options);
    server_->Start(HttpGate(),
                   [this](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
                     handler_(request, reply);
                   });
  }
  std::string Url() const { return fmt::format("http://127.0.0.1:{}", server_->port()); }
  static HttpClient Client(const std::string& url, HttpClient::Options options = {}) {
    return HttpClient(ParseHttpUrl(url), std::move(options));
  }

  HttpHandler handler_ = [](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    reply->Send(200, "text/plain",
                fmt::format("{} {} {} {}", request.method, request.path, request.Header("x-one"),
                            request.body));
  };
  std::optional<HttpServer> server_;
};

TEST(ParseHttpUrl, ReadsServerPortAndPath) {
  const auto parts = [](const char* text) {
    const HttpUrl url = ParseHttpUrl(text);
    return fmt::format("{} {} '{}' {}", url.host, url.port, url.path, url.Authority());
  };
  EXPECT_EQ(parts("http://127.0.0.1:8080"), "127.0.0.1 8080 '' 127.0.0.1:8080");
  EXPECT_EQ(parts("HTTP://host/v1//"), "host 80 '/v1' host:80");
  EXPECT_EQ(parts("localhost:65535/a/b"), "localhost 65535 '/a/b' localhost:65535");
  EXPECT_EQ(parts("http://[::1]:81/"), "::1 81 '' [::1]:81");
  EXPECT_EQ(parts("http://[::1]"), "::1 80 '' [::1]:80");
}

TEST(ParseHttpUrl, RefusesWhatIsNone) {
  for (const char* text : {"", "http://", "http://:80", "http://a:", "http://a:0", "http://a:65536",
                           "http://a:8x", "http://[::1", "http://[::1]80", "/v1"}) {
    EXPECT_NE(ErrorOf([&] { ParseHttpUrl(text); }).find("names no server"), std::string::npos)
        << text;
  }
  for (const char* text : {"http://a/b?c", "http://a/#b", "http://me@a/", "http://a b/"}) {
    EXPECT_NE(ErrorOf([&] { ParseHttpUrl(text); }).find("a server and a path alone"),
              std::string::npos)
        << text;
  }
  EXPECT_NE(ErrorOf([] { ParseHttpUrl("https://a"); }).find("only http:// is spoken"),
            std::string::npos);
}

TEST_F(HttpClientTest, AsksSeveralThingsOverOneConnection) {
  Serve();
  HttpClient client = Client(Url() + "/base");
  HttpAnswer answer = client.Ask("POST", "/a", {{"X-One", "1"}}, "body");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.type, "text/plain");
  EXPECT_EQ(answer.body, "POST /base/a 1 body");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.Ask("GET", "", {}, "").body, "GET /base  ");
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpClientTest, HearsAnAnswerAsItComes) {
  std::mutex mutex;
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (request.path == "/no") return reply->Send(404, "text/plain", "nothing here");
    reply->Begin(200, "text/event-stream", "");
    reply->Write("first");
    const std::lock_guard lock(mutex);
    held = reply;
  };
  Serve();
  HttpClient client = Client(Url());
  std::vector<std::string> pieces;
  HttpAnswer answer = client.Ask("GET", "/", {}, "", [&](std::string_view piece) {
    pieces.emplace_back(piece);
    // The rest is only sent now: the first piece came before it.
    const std::lock_guard lock(mutex);
    if (!held) return;
    held->Write("second");
    held->End();
    held.reset();
  });
  EXPECT_EQ(pieces, (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(answer.body, "");
  answer = client.Ask("GET", "/no", {}, "", [](std::string_view) { ADD_FAILURE(); });
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.body, "nothing here");
  // A listener that has heard enough ends the connection, and the next request begins another.
  EXPECT_EQ(
      ErrorOf([&] { client.Ask("GET", "/", {}, "", [](std::string_view) { Fail("enough"); }); }),
      "enough");
  EXPECT_EQ(client.Ask("GET", "/no", {}, "").status, 404);
  const std::lock_guard lock(mutex);
  held.reset();
}

TEST_F(HttpClientTest, ConnectsAgainWhereTheServerHasClosed) {
  Serve({.head_seconds = 0.05});
  HttpClient client = Client(Url());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Ask("GET", "/", {}, "").status, 200);
    while (server_->connections() > 0) std::this_thread::yield();
  }
}

TEST_F(HttpClientTest, TellsWhatIsWrong) {
  EXPECT_NE(ErrorOf([] {
              Client("http://127.0.0.1:1").Ask("GET", "/", {}, "");
            }).find("cannot reach http://127.0.0.1:1: "),
            std::string::npos);
  for (const char* bytes : {"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}) {
    RawServer server(bytes);
    EXPECT_EQ(ErrorOf([&] { Client(server.url()).Ask("GET", "/", {}, ""); }),
              server.url() + ": the server closed the connection");
    EXPECT_EQ(server.connections, 1);  // what may have been computed is not asked for twice
  }
  RawServer garbage("\x16\x03\x01 no HTTP\r\n\r\n");
  EXPECT_NE(ErrorOf([&] { Client(garbage.url()).Ask("GET", "/", {}, ""); }), "none");
  RawServer large("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + std::string(99, 'a'));
  HttpClient narrow = Client(large.url(), {.most_bytes = 98});
  EXPECT_NE(ErrorOf([&] { narrow.Ask("GET", "/", {}, ""); }), "none");
}

TEST_F(HttpClientTest, GivesUpAServerThatIsSilent) {
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) { held = reply; };
  Serve();
  HttpClient client = Client(Url(), {.idle_seconds = 0.05});
  EXPECT_EQ(ErrorOf([&] { client.Ask("GET", "/", {}, ""); }), Url() + ": it took too long");
  bool stopped = false;
  HttpClient asked = Client(Url(), {.stop = [&] { return stopped = true; }});
  EXPECT_THROW(asked.Ask("GET", "/", {}, ""), Interruption);
  EXPECT_TRUE(stopped);
  server_->Stop(0);
  held.reset();
}

}  // namespace
}  // namespace darkhorse
