#include "serve/http.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"

namespace darkhorse {
namespace {

// A connection that sends bytes as they are.
class Client {
 public:
  explicit Client(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval patience{.tv_sec = 60, .tv_usec = 0};  // a server that hangs fails the test
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~Client() { Close(); }
  void Send(const std::string& bytes) {
    EXPECT_EQ(send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Whether the server takes it or not.
  void TrySend(const std::string& bytes) {
    (void)!send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // What comes until `end` stands at its end, or the server closes.
  std::string Receive(const std::string& end) {
    std::string got;
    char piece[1];
    while (!got.ends_with(end)) {
      const ssize_t size = recv(socket_, piece, 1, 0);
      if (size <= 0) return got + "<closed>";
      got += piece[0];
    }
    return got;
  }
  std::string ReceiveAll() {
    std::string got;
    char piece[4096];
    for (;;) {
      const ssize_t size = recv(socket_, piece, sizeof(piece), 0);
      if (size <= 0) return got;
      got.append(piece, static_cast<size_t>(size));
    }
  }
  void SayNoMore() { EXPECT_EQ(shutdown(socket_, SHUT_WR), 0); }
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
};

bool CanConnect(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int plug = socket(AF_INET, SOCK_STREAM, 0);
  const bool can = connect(plug, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(plug);
  return can;
}

// A flag that threads wait for.
class Flag {
 public:
  void Set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

class Http : public testing::Test {
 protected:
  Flag begun, gone;  // they outlive the server, whose threads may set them after a test's end
  // Echoes, unless a test's own handler is set before.
  void Serve() {
    options_.port = 0;
    if (!handler_) {
      handler_ = [](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
        reply->Send(200, "text/plain", request.method + request.path + ":" + request.body);
      };
    }
    server_.emplace(options_);
    server_->Start(gate_, handler_);
  }
  Client Connect() { return Client(server_->port()); }
  // The status of the answer to a request, on a connection that it ends.
  std::string Status(const std::string& request) {
    Client client = Connect();
    client.Send(request);
    return client.Receive("\r\n").substr(9, 3);
  }

  HttpOptions options_;
  HttpGate gate_;
  std::function<void(const HttpRequest&, const std::shared_ptr<HttpReply>&)> handler_;
  std::optional<HttpServer> server_;
};

TEST_F(Http, AnswersOneRequestAfterTheOther) {
  Serve();
  Client client = Connect();
  client.Send("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.Receive(":"), "HTTP/1.1 200 OK\r\nContent-Type:");
  EXPECT_TRUE(client.Receive("GET/a:").ends_with("\r\n\r\nGET/a:"));
  client.Send("POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
  const std::string second = client.Receive("POST/c:body");
  EXPECT_NE(second.find("\r\nContent-Length: 11\r\n\r\nPOST/c:body"), second.npos) << second;
  // Two that were sent at once, of which the second in pieces.
  client.Send(
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nab\r\n");
  EXPECT_FALSE(client.Receive("GET/1:").ends_with("<closed>"));
  client.Send("1\r\nc\r\n0\r\n\r\n");
  EXPECT_FALSE(client.Receive("POST/2:abc").ends_with("<closed>"));
  client.Send("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.ReceiveAll().ends_with("GET/last:"));
}

// Also where the connection has answered others before.
TEST_F(Http, WhatIsSentAheadWaitsForItsTurn) {
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (request.path != "/held") return reply->Send(200, "text/plain", request.path);
    held = reply;
    begun.Set();
  };
  Serve();
  Client client = Connect();
  for (const char* first : {"/1", "/2"}) {
    client.Send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", first));
    EXPECT_FALSE(client.Receive(first).ends_with("<closed>"));
  }
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(begun.Wait());
  client.Send("GET /ahead HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  usleep(100'000);  // the server has read it
  held->Send(200, "text/plain", "/held");
  held.reset();
  const std::string got = client.ReceiveAll();
  EXPECT_LT(got.find("/held"), got.find("/ahead")) << got;
  EXPECT_TRUE(got.ends_with("/ahead")) << got;
}

TEST_F(Http, HeadsHaveNoBodyAndOldClientsAreClosed) {
  Serve();
  Client client = Connect();
  client.Send("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.ReceiveAll().ends_with("\r\n\r\n"));
  Client old = Connect();
  old.Send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.ReceiveAll().ends_with("GET/a:"));
}

TEST_F(Http, ABodyIsAskedForWhereTheClientWaitsForThat) {
  Serve();
  Client client = Connect();
  client.Send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ab");
  EXPECT_FALSE(client.Receive("POST/a:ab").ends_with("<closed>"));
}

TEST_F(Http, WhatIsTooLargeOrNoHttpIsRefused) {
  options_.max_body = 100;
  options_.max_header = 1000;
  Serve();
  EXPECT_EQ(
      Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + std::string(100, 'a')),
      "200");
  EXPECT_EQ(Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n"), "413");
  EXPECT_EQ(Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n"), "413");
  EXPECT_EQ(Status("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" +
                   std::string(255, 'a') + "\r\n0\r\n\r\n"),
            "413");
  EXPECT_EQ(Status("GET /a HTTP/1.1\r\nHost: x\r\nX: " + std::string(2000, 'a') + "\r\n\r\n"),
            "431");
  EXPECT_EQ(Status("GET /" + std::string(2000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), "431");
  EXPECT_EQ(Status("garbage\r\n\r\n"), "400");
  EXPECT_EQ(Status("GET /a HTTP/9.1\r\n\r\n"), "400");
  EXPECT_EQ(Status("GET /a HTTP/1.1\r\nno colon\r\n\r\n"), "400");
  EXPECT_EQ(Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), "400");
  EXPECT_EQ(
      Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
      "400");
  EXPECT_EQ(Status("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n"),
            "400");
  EXPECT_EQ(Status(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n"),
            "400");
}

TEST_F(Http, BodiesInAllAreLimited) {
  options_.max_body = 100;
  Serve();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    clients.back()->Send(
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
    clients.back()->Receive("\r\n\r\n");
  }
  EXPECT_EQ(Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"), "503");
  EXPECT_EQ(Status("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"), "200");
  clients.front()->Send(std::string(100, 'a'));
  clients.front()->Receive(std::string(100, 'a'));
  while (Status("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na") != "200") usleep(1000);
}

TEST_F(Http, TheGateRefusesBeforeABodyComes) {
  gate_ = [](const HttpRequest& request) {
    return request.path == "/closed" ? std::optional(ApiError(403, "no")) : std::nullopt;
  };
  Serve();
  EXPECT_EQ(Status("POST /closed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"), "403");
  EXPECT_EQ(Status("GET /open HTTP/1.1\r\nHost: x\r\n\r\n"), "200");
}

TEST_F(Http, StreamsAreChunkedAndKeptAlive) {
  options_.heartbeat_seconds = 0.05;
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    held = reply;
    reply->Begin(200, "text/event-stream", ": still here\n\n");
    reply->Write("one");
    begun.Set();
  };
  Serve();
  Client client = Connect();
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(client.Receive("\r\n\r\n3\r\none\r\n").ends_with("<closed>"));
  EXPECT_EQ(client.Receive("\n\n\r\n"), "e\r\n: still here\n\n\r\n");
  ASSERT_TRUE(begun.Wait());
  held->Write("");
  held->Write("two");
  held->End();
  EXPECT_FALSE(client.Receive("3\r\ntwo\r\n0\r\n\r\n").ends_with("<closed>"));
  held->Write("late");  // dropped
  held.reset();
  client.Send("GET /a HTTP/1.0\r\nHost: x\r\n\r\n");  // no chunks for an old client
  EXPECT_FALSE(client.Receive("\r\n\r\none").ends_with("<closed>"));
  held.reset();
}

// It would stand before the next reply's head.
TEST_F(Http, NothingIsWrittenNowAndThenBehindAStream) {
  options_.heartbeat_seconds = 0.05;
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (request.path == "/whole") {
      held = reply;
      return begun.Set();
    }
    reply->Begin(200, "text/event-stream", ": still here\n\n");
    reply->End();
  };
  Serve();
  Client client = Connect();
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(client.Receive("\r\n0\r\n\r\n").ends_with("<closed>"));
  client.Send("GET /whole HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(begun.Wait());
  usleep(250'000);  // five beats
  held->Send(200, "text/plain", "at last");
  EXPECT_TRUE(client.Receive("at last").starts_with("HTTP/1.1 200 OK\r\n"));
  held.reset();
}

TEST_F(Http, AClientThatLeavesIsTold) {
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->OnGone([&] { gone.Set(); });
    held = reply;
    begun.Set();
  };
  Serve();
  Client client = Connect();
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(begun.Wait());
  client.Close();
  EXPECT_TRUE(gone.Wait());
  Flag late;  // who asks later hears at once
  held->OnGone([&] { late.Set(); });
  EXPECT_TRUE(late.Wait());
  held.reset();
}

TEST_F(Http, AClientThatDoesNotReadIsDropped) {
  options_.write_seconds = 0.2;
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->OnGone([&] { gone.Set(); });
    reply->Begin(200, "text/plain", "");
    held = reply;
    begun.Set();
  };
  Serve();
  Client client = Connect();
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(begun.Wait());
  for (int i = 0; i < 7; ++i) held->Write(std::string(1 << 20, 'a'));  // more than sockets hold
  EXPECT_TRUE(gone.Wait());
  held.reset();
}

TEST_F(Http, SlowClientsAreDropped) {
  options_.head_seconds = 0.2;
  options_.body_seconds = 0.2;
  Serve();
  EXPECT_EQ(Connect().ReceiveAll(), "");  // says nothing
  Client head = Connect();
  head.Send("GET /a HT");
  EXPECT_EQ(head.ReceiveAll(), "");
  Client body = Connect();
  body.Send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab");
  EXPECT_EQ(body.ReceiveAll(), "");
  // A byte now and then does not help.
  Client drip = Connect();
  std::atomic<bool> ended = false;
  std::thread dripping([&] {
    while (!ended) {
      drip.TrySend("a");
      usleep(10'000);
    }
  });
  EXPECT_EQ(drip.ReceiveAll(), "");
  ended = true;
  dripping.join();
}

TEST_F(Http, TooManyConnectionsAreTurnedAway) {
  options_.max_connections = 1;
  Serve();
  Client first = Connect();
  first.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  first.Receive("GET/a:");
  EXPECT_EQ(Connect().Receive("\r\n"), "HTTP/1.1 503 Service Unavailable\r\n");
  first.Close();
  while (Status("GET /a HTTP/1.1\r\nHost: x\r\n\r\n") != "200") usleep(1000);
}

TEST_F(Http, AReplyThatIsNeverGivenEndsTheConnection) {
  handler_ = [](const HttpRequest&, const std::shared_ptr<HttpReply>&) {};
  Serve();
  Client client = Connect();
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.ReceiveAll(), "");
}

TEST_F(Http, StoppingWaitsForWhatIsBeingAnswered) {
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    held = reply;
    begun.Set();
  };
  Serve();
  Client idle = Connect(), client = Connect();
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(begun.Wait());
  std::thread stopping([&] { server_->Stop(60); });
  EXPECT_EQ(idle.ReceiveAll(), "");
  held->Send(200, "text/plain", "done");
  held.reset();
  const std::string got = client.ReceiveAll();
  EXPECT_TRUE(got.ends_with("\r\n\r\ndone"));
  EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos);
  stopping.join();
}

TEST_F(Http, AnAddressThatCannotBeHad) {
  Serve();
  HttpOptions taken;
  taken.port = server_->port();
  EXPECT_THROW(HttpServer{taken}, Error);
  EXPECT_THROW(HttpServer{{.address = "example.com"}}, UsageError);
}

// It is told before anything else is made ready, and nobody waits at it meanwhile.
TEST_F(Http, AnAddressIsTakenBeforeItIsAnsweredAt) {
  options_.port = 0;
  HttpServer server(options_);
  EXPECT_GT(server.port(), 0);
  EXPECT_FALSE(CanConnect(server.port()));
  server.Start({}, [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->Send(200, "text/plain", "here");
  });
  Client client(server.port());
  client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(client.Receive("here").ends_with("<closed>"));
}

TEST_F(Http, OneHostIsAskedFor) {
  gate_ = [](const HttpRequest&) { return ApiError(403, "no"); };
  Serve();
  EXPECT_EQ(Status("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"), "403");
  EXPECT_EQ(Status("GET /a HTTP/1.0\r\n\r\n"), "403");
  EXPECT_EQ(Status("GET /a HTTP/1.1\r\n\r\n"), "400");
  EXPECT_EQ(Status("GET /a HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n"), "400");
  EXPECT_EQ(Status("GET /a HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"), "400");
}

TEST_F(Http, AClientThatSaysNoMoreIsAnswered) {
  Serve();
  Client two = Connect();
  two.Send(
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: "
      "2\r\n\r\nab");
  two.SayNoMore();
  const std::string both = two.ReceiveAll();
  EXPECT_NE(both.find("GET/1:HTTP/1.1 "), both.npos) << both;
  EXPECT_TRUE(both.ends_with("POST/2:ab")) << both;
  Client old = Connect();
  old.Send("GET /a HTTP/1.0\r\n\r\n");
  old.SayNoMore();
  const std::string one = old.ReceiveAll();
  EXPECT_TRUE(one.starts_with("HTTP/1.1 200 ") && one.ends_with("GET/a:")) << one;
  Client cut = Connect();
  cut.Send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
  cut.SayNoMore();
  EXPECT_EQ(cut.ReceiveAll(), "");
}

// Before its answer, and amid a stream; and then it leaves.
TEST_F(Http, AClientThatSaysNoMoreMayStillLeave) {
  options_.heartbeat_seconds = 3600;
  std::shared_ptr<HttpReply> held;
  std::map<std::string, Flag> asked;
  for (const char* path : {"/a", "/stream", "/gone"}) asked[path];
  handler_ = [&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    held = reply;
    if (request.path == "/gone") reply->OnGone([&] { gone.Set(); });
    if (request.path == "/stream") reply->Begin(200, "text/event-stream", ": beat\n");
    asked[request.path].Set();
  };
  Serve();
  {
    Client client = Connect();
    client.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    client.SayNoMore();
    EXPECT_EQ(client.Receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    ASSERT_TRUE(asked["/a"].Wait());
    held->Send(200, "text/plain", "late");
    held.reset();
    EXPECT_TRUE(client.ReceiveAll().ends_with("\r\n\r\nlate"));
  }
  {
    Client client = Connect();
    client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_FALSE(client.Receive("\r\n\r\n").ends_with("<closed>"));
    client.SayNoMore();
    EXPECT_EQ(client.Receive("beat\n\r\n"), "7\r\n: beat\n\r\n");
    ASSERT_TRUE(asked["/stream"].Wait());
    held->End();
    held.reset();
    EXPECT_EQ(client.ReceiveAll(), "0\r\n\r\n");
  }
  {
    Client client = Connect();
    client.Send("GET /gone HTTP/1.1\r\nHost: x\r\n\r\n");
    client.SayNoMore();
    EXPECT_EQ(client.Receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.Close();
    ASSERT_TRUE(asked["/gone"].Wait());
    held->Begin(200, "text/plain", "");  // what it is told now is answered with a reset
    held->Write("a");
    EXPECT_TRUE(gone.Wait());
  }
  held.reset();
}

TEST_F(Http, TellsWhatBecameOfEachRequest) {
  std::mutex mutex;
  std::string told;
  options_.log = [&](const HttpEvent& event) {
    EXPECT_EQ(event.client, "127.0.0.1");
    EXPECT_GE(event.seconds, 0);
    const std::lock_guard lock(mutex);
    told += fmt::format("{} {} {} {} {}\n", event.method, event.path, event.status, event.bytes,
                        event.left);
    for (const auto& [name, count] : event.counts) told += fmt::format("{} {}\n", name, count);
  };
  options_.max_body = 10;
  std::shared_ptr<HttpReply> held;
  handler_ = [&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (request.path != "/stream") {
      reply->Tell({{"a", 1}, {"b", 2}});
      return reply->Send(404, "text/plain", "none");
    }
    reply->OnGone([&] { gone.Set(); });
    reply->Begin(200, "text/plain", "");
    reply->Write("begun");
    held = reply;
  };
  Serve();
  {
    Client client = Connect();
    client.Send("POST /a?secret HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_FALSE(client.Receive("none").ends_with("<closed>"));
    client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_FALSE(client.Receive("begun").ends_with("<closed>"));
  }
  EXPECT_TRUE(gone.Wait());
  held.reset();
  EXPECT_EQ(Status("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"), "413");
  EXPECT_EQ(Status("no HTTP\r\n\r\n"), "400");
  server_->Stop(60);
  EXPECT_EQ(
      told,
      "POST /a 404 4 false\na 1\nb 2\nGET /stream 200 0 true\n  413 0 false\n  400 0 false\n");
}

}  // namespace
}  // namespace darkhorse
