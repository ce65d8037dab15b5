#include "serve/http.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/ascii.h"
#include "base/clock.h"
#include "base/error.h"

namespace darkhorse {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using boost::system::error_code;

std::chrono::nanoseconds Seconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

// Unread bytes of a next request, beyond which a client that sends ahead has to wait.
constexpr size_t kMostReadAhead = 64 << 10;
// Bytes that wait to be sent, beyond which a client is too slow.
constexpr size_t kMostUnsent = 8 << 20;
// Bodies of the largest size that may be held at once, in all.
constexpr int64_t kMostBodies = 16;
// What is still read, for so long, of a request that was refused: closing at once would throw the
// answer away before the client has read it.
constexpr double kLingerSeconds = 2;

// Of who is at the other end; "" where they have gone already.
std::string AddressOf(const Tcp::socket& socket) {
  error_code gone;
  const auto end = socket.remote_endpoint(gone);
  return gone ? "" : end.address().to_string();
}

class Connection;

// What connections share. All of it, but for handlers, runs on one thread.
struct Shared {
  explicit Shared(const HttpOptions& o) : options(o), workers(static_cast<size_t>(o.workers)) {}

  const HttpOptions options;
  HttpGate gate;  // this and the handler are set before anything runs
  HttpHandler handler;
  std::set<Connection*> connections;
  int64_t body_bytes = 0;  // of requests that are read or answered
  bool closing = false;    // no connection is kept for a next request
  std::mutex mutex;
  std::condition_variable answered;
  int64_t replying = 0;  // requests that are answered; under the mutex
  int64_t count = 0;     // connections; under the mutex
  asio::thread_pool workers;
  asio::io_context io;  // last: what still waits in it when it goes refers to the rest
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, Tcp::socket socket)
      : shared_(shared),
        stream_(std::move(socket)),
        client_(AddressOf(stream_.socket())),
        heartbeat_timer_(shared.io) {
    shared_.connections.insert(this);
    const std::lock_guard lock(shared_.mutex);
    ++shared_.count;
  }
  ~Connection() {
    shared_.connections.erase(this);
    const std::lock_guard lock(shared_.mutex);
    --shared_.count;
  }

  void ReadHead() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(shared_.options.max_header));
    parser_->body_limit(static_cast<uint64_t>(shared_.options.max_body));
    stream_.expires_after(Seconds(shared_.options.head_seconds));
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, size_t) { self->HaveHead(error); });
  }

  // What a reply does, on the connection's thread. `serial` is of the request that it answers.
  void Send(uint64_t serial, int status, const std::string& type, const std::string& body,
            const HttpReply::Headers& headers) {
    if (!Answers(serial)) return;
    event_.status = status;
    std::string head = Head(status, type, headers);
    // "Not modified" would tell the length of what it stands for.
    if (status != 304) head += fmt::format("Content-Length: {}\r\n", body.size());
    head += "\r\n";
    Queue(head + (head_only_ ? std::string() : body));
    Ended();
  }
  void Begin(uint64_t serial, int status, const std::string& type, std::string heartbeat) {
    if (!Answers(serial)) return;
    event_.status = status;
    keep_alive_ &= chunked_;
    std::string head = Head(status, type, {{"Cache-Control", "no-cache"}});
    if (chunked_) head += "Transfer-Encoding: chunked\r\n";
    Queue(head + "\r\n");
    heartbeat_ = std::move(heartbeat);
    Beat();
  }
  void Write(uint64_t serial, const std::string& piece) {
    if (!Answers(serial) || piece.empty() || head_only_) return;
    Queue(chunked_ ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : piece);
  }
  void End(uint64_t serial) {
    if (!Answers(serial)) return;
    if (chunked_ && !head_only_) Queue("0\r\n\r\n");
    Ended();
  }
  void Tell(uint64_t serial, const HttpCounts& counts) {
    if (Answers(serial)) event_.counts = counts;
  }
  void OnGone(uint64_t serial, std::function<void()> call) {
    if (serial != serial_) return;
    if (gone_) return call();
    if (replying_ && !ended_) on_gone_ = std::move(call);
  }
  // The reply was let go.
  void Abandon(uint64_t serial) {
    if (Answers(serial)) Gone();
  }
  // The server closes: what is not answering ends now.
  void CloseWhenAnswered() {
    if (!replying_ && !write_pending_) Gone();
  }
  void Gone() {
    if (gone_) return;
    gone_ = true;
    heartbeat_timer_.cancel();
    stream_.close();
    if (const auto call = std::exchange(on_gone_, {})) call();
    LeaveRequest();
  }

 private:
  bool Answers(uint64_t serial) const {
    return serial == serial_ && replying_ && !ended_ && !gone_;
  }

  void HaveHead(error_code error) {
    if (gone_) return;
    if (error == http::error::header_limit) return Refuse(431, "the headers are too large");
    if (error == http::error::body_limit) return RefuseBody();
    if (error.category() == http::make_error_code(http::error::end_of_stream).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return Refuse(400, "the request is not valid HTTP");
    }
    if (error) return Gone();  // left, or said nothing for too long
    const auto& head = parser_->get();
    head_only_ = head.method() == http::verb::head;
    chunked_ = head.version() >= 11;
    keep_alive_ = head.keep_alive();
    // RFC 9112, section 3.2: another server on the way might have read the other one.
    const size_t hosts = head.count(http::field::host);
    if (hosts > 1) return Refuse(400, "the request has several Host headers");
    if (hosts == 0 && head.version() >= 11) return Refuse(400, "the request has no Host header");
    request_ = {};
    request_.method = std::string(head.method_string());
    const std::string target(head.target());
    request_.path = target.substr(0, target.find_first_of("?#"));
    event_.method = request_.method;
    event_.path = request_.path;
    for (const auto& field : head)
      request_.headers.emplace(LowerAscii(std::string(field.name_string())), field.value());
    const auto length = parser_->content_length();
    reserved_ = length           ? static_cast<int64_t>(*length)
                : head.chunked() ? shared_.options.max_body
                                 : 0;
    if (shared_.body_bytes + reserved_ > kMostBodies * shared_.options.max_body) {
      reserved_ = 0;
      return Refuse(503, "too many large requests at once; try again");
    }
    shared_.body_bytes += reserved_;
    if (const auto refusal = shared_.gate ? shared_.gate(request_) : std::nullopt)
      return Refuse(*refusal);
    stream_.expires_after(Seconds(shared_.options.body_seconds));
    if (request_.Header("expect").empty()) return ReadBody();
    continue_ = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(stream_, asio::buffer(continue_),
                      [self = shared_from_this()](error_code failed, size_t) {
                        if (failed) return self->Gone();
                        self->ReadBody();
                      });
  }

  void ReadBody() {
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, size_t) { self->HaveBody(error); });
  }

  void HaveBody(error_code error) {
    if (gone_) return;
    if (error == http::error::body_limit) return RefuseBody();
    if (error == beast::error::timeout || error == http::error::partial_message ||
        error == asio::error::eof || error == asio::error::connection_reset ||
        error == asio::error::operation_aborted) {
      return Gone();
    }
    if (error) return Refuse(400, "the request's body is not valid HTTP");
    request_.body = std::move(parser_->get().body());
    event_.bytes = static_cast<int64_t>(request_.body.size());
    parser_.reset();
    asio::post(shared_.workers, [handler = &shared_.handler, request = std::move(request_),
                                 reply = BeginReply()]() mutable {
      (*handler)(std::move(request), std::move(reply));
    });
    Watch();
  }

  std::shared_ptr<HttpReply> BeginReply();

  // Reads while a reply is on its way: what a client sends ahead, or that it has gone.
  void Watch() {
    if (input_ended_) return Probe();
    if (watching_ || gone_ || buffer_.size() > kMostReadAhead) return;
    watching_ = true;
    stream_.expires_never();
    stream_.async_read_some(
        buffer_.prepare(4096),
        [self = shared_from_this()](error_code error, size_t size) { self->Watched(error, size); });
  }
  void Watched(error_code error, size_t size) {
    watching_ = false;
    if (gone_) return;
    buffer_.commit(size);
    input_ended_ = error == asio::error::eof;
    if (error && !input_ended_ && !(next_ && error == asio::error::operation_aborted))
      return Gone();
    if (next_) return Next();
    Watch();
  }

  // The client says no more, and perhaps still listens. One that does not has its system answer
  // whatever is sent with a reset: a stream's heartbeat, or that the request goes on, which clients
  // of HTTP/1.1 read over.
  void Probe() {
    stream_.socket().async_wait(Tcp::socket::wait_error,
                                [self = shared_from_this()](error_code error) {
                                  if (!error) self->Gone();
                                });
    if (event_.status != 0) return Write(serial_, heartbeat_);
    if (chunked_) Queue("HTTP/1.1 100 Continue\r\n\r\n");
  }

  void RefuseBody() {
    Refuse(413,
           fmt::format("the request's body is larger than {} bytes", shared_.options.max_body));
  }
  void Refuse(int status, const std::string& message) { Refuse(ApiError(status, message)); }
  // Answers a request that was not read to its end, which ends the connection.
  void Refuse(const ApiError& refusal) {
    parser_.reset();
    const auto reply = BeginReply();
    keep_alive_ = false;
    linger_ = true;
    Send(serial_, refusal.status(), "application/json", ErrorBody(refusal), {});
  }

  std::string Head(int status, const std::string& type, const HttpReply::Headers& headers) const {
    std::string head =
        fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", status, HttpReason(status), type);
    for (const auto& [name, value] : headers) head += fmt::format("{}: {}\r\n", name, value);
    head += "X-Content-Type-Options: nosniff\r\n";
    if (!keep_alive_ || shared_.closing) head += "Connection: close\r\n";
    return head;
  }

  void Queue(const std::string& bytes) {
    unsent_ += bytes;
    if (unsent_.size() > kMostUnsent + sent_.size()) return Gone();
    said_since_beat_ = true;
    Flush();
  }
  void Flush() {
    if (write_pending_ || gone_) return;
    if (unsent_.empty()) {
      if (ended_) Answered();
      return;
    }
    sent_ = std::exchange(unsent_, {});
    write_pending_ = true;
    stream_.expires_after(Seconds(shared_.options.write_seconds));
    asio::async_write(stream_, asio::buffer(sent_),
                      [self = shared_from_this()](error_code error, size_t) {
                        self->write_pending_ = false;
                        if (error) return self->Gone();
                        self->Flush();
                      });
  }

  // Says something now and then, so that nobody between takes the connection for dead.
  void Beat() {
    if (heartbeat_.empty()) return;
    heartbeat_timer_.expires_after(Seconds(shared_.options.heartbeat_seconds));
    heartbeat_timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->ended_ || self->gone_) return;
      if (!std::exchange(self->said_since_beat_, false))
        self->Write(self->serial_, self->heartbeat_);
      self->said_since_beat_ = false;
      self->Beat();
    });
  }

  void Ended() {
    ended_ = true;
    on_gone_ = {};
    heartbeat_timer_.cancel();
    Flush();
  }
  // All of the reply has been sent.
  void Answered() {
    LeaveRequest();
    if (!keep_alive_ || shared_.closing) return linger_ ? Linger() : Gone();
    if (watching_) {
      next_ = true;  // what is being read is of the next request
      return stream_.cancel();
    }
    Next();
  }
  void Next() {
    next_ = false;
    if (shared_.closing) return Gone();
    ReadHead();
  }
  void LeaveRequest() {
    shared_.body_bytes -= std::exchange(reserved_, 0);
    if (!replying_) return;
    if (shared_.options.log) {
      event_.seconds = SteadySeconds() - began_;
      event_.left = gone_;
      shared_.options.log(std::exchange(event_, {}));
    }
    replying_ = false;
    ended_ = false;
    const std::lock_guard lock(shared_.mutex);
    if (--shared_.replying == 0) shared_.answered.notify_all();
  }
  void Linger() {
    error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
    stream_.expires_after(Seconds(kLingerSeconds));
    Drain();
  }
  void Drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kMostReadAhead),
                            [self = shared_from_this()](error_code error, size_t) {
                              if (error) return self->Gone();
                              self->Drain();
                            });
  }

  Shared& shared_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;
  const std::string client_;
  HttpEvent event_;       // of the request, for the log
  double began_ = 0;      // when its reply was
  int64_t reserved_ = 0;  // bytes of body_bytes
  std::string continue_;

  uint64_t serial_ = 0;  // of the request
  bool replying_ = false, ended_ = false;
  bool keep_alive_ = false, chunked_ = true, head_only_ = false, linger_ = false;
  bool watching_ = false, next_ = false, input_ended_ = false, gone_ = false;
  bool write_pending_ = false;
  std::string unsent_, sent_;
  std::function<void()> on_gone_;
  asio::steady_timer heartbeat_timer_;
  std::string heartbeat_;
  bool said_since_beat_ = false;
};

// A reply to one request: brings what is said to the connection's thread.
class ConnectionReply : public HttpReply {
 public:
  ConnectionReply(Shared& shared, std::shared_ptr<Connection> connection, uint64_t serial)
      : shared_(shared), connection_(std::move(connection)), serial_(serial) {}
  ~ConnectionReply() override {
    // Moved, so that the connection ends on its own thread.
    asio::post(shared_.io, [connection = std::move(connection_), serial = serial_] {
      connection->Abandon(serial);
    });
  }

  void Send(int status, std::string_view type, std::string body, const Headers& headers) override {
    Do([=, type = std::string(type), body = std::move(body)](Connection& c, uint64_t serial) {
      c.Send(serial, status, type, body, headers);
    });
  }
  void Begin(int status, std::string_view type, std::string heartbeat) override {
    Do([=, type = std::string(type), heartbeat = std::move(heartbeat)](
           Connection& c, uint64_t serial) { c.Begin(serial, status, type, heartbeat); });
  }
  void Write(std::string piece) override {
    Do([piece = std::move(piece)](Connection& c, uint64_t serial) { c.Write(serial, piece); });
  }
  void End() override {
    Do([](Connection& c, uint64_t serial) { c.End(serial); });
  }
  void Tell(HttpCounts counts) override {
    Do([counts = std::move(counts)](Connection& c, uint64_t serial) { c.Tell(serial, counts); });
  }
  void OnGone(std::function<void()> gone) override {
    Do([gone = std::move(gone)](Connection& c, uint64_t serial) { c.OnGone(serial, gone); });
  }

 private:
  template <typename What>
  void Do(What what) {
    asio::post(shared_.io, [connection = connection_, serial = serial_, what = std::move(what)] {
      what(*connection, serial);
    });
  }

  Shared& shared_;
  std::shared_ptr<Connection> connection_;
  uint64_t serial_;
};

std::shared_ptr<HttpReply> Connection::BeginReply() {
  replying_ = true;
  ended_ = false;
  began_ = SteadySeconds();
  event_.client = client_;
  ++serial_;
  const std::lock_guard lock(shared_.mutex);
  ++shared_.replying;
  return std::make_shared<ConnectionReply>(shared_, shared_from_this(), serial_);
}

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(const HttpOptions& options)
      : shared_(options), acceptor_(shared_.io), pause_(shared_.io) {
    error_code error;
    const auto address = asio::ip::make_address(options.address, error);
    if (error) FailUsage("'{}' is no numeric address; give one such as 127.0.0.1", options.address);
    const Tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    FailIf(error);
    port_ = acceptor_.local_endpoint().port();
  }
  void Start(HttpGate gate, HttpHandler handler) {
    shared_.gate = std::move(gate);
    shared_.handler = std::move(handler);
    error_code error;
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
    FailIf(error);
    Accept();
    thread_ = std::thread([this] { shared_.io.run(); });
  }
  ~Impl() { Stop(0); }

  int port() const { return port_; }
  int64_t connections() {
    const std::lock_guard lock(shared_.mutex);
    return shared_.count;
  }

  void Stop(double seconds) {
    if (!thread_.joinable()) return;
    asio::post(shared_.io, [this] {
      error_code ignored;
      acceptor_.close(ignored);
      shared_.closing = true;
      const auto all = shared_.connections;
      for (Connection* connection : all) connection->shared_from_this()->CloseWhenAnswered();
    });
    {
      std::unique_lock lock(shared_.mutex);
      shared_.answered.wait_for(lock, Seconds(seconds), [&] { return shared_.replying == 0; });
    }
    shared_.workers.join();
    asio::post(shared_.io, [this] {
      const auto all = shared_.connections;
      for (Connection* connection : all) connection->shared_from_this()->Gone();
      shared_.io.stop();
    });
    thread_.join();
  }

 private:
  void FailIf(const error_code& error) const {
    if (!error) return;
    Fail("cannot listen on {} port {}: {}; choose another", shared_.options.address,
         shared_.options.port, error.message());
  }

  void Accept() {
    acceptor_.async_accept([this](error_code error, Tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (error) {  // no more files, say: nothing is gained by asking again at once
        pause_.expires_after(Seconds(0.1));
        return pause_.async_wait([this](error_code) { Accept(); });
      }
      Serve(std::move(socket));
      Accept();
    });
  }

  void Serve(Tcp::socket socket) {
    error_code ignored;
    socket.set_option(Tcp::no_delay(true), ignored);
    if (static_cast<int64_t>(shared_.connections.size()) >= shared_.options.max_connections) {
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(kFull), ignored);
      return;
    }
    std::make_shared<Connection>(shared_, std::move(socket))->ReadHead();
  }

  static constexpr std::string_view kFull =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

  Shared shared_;
  Tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  int port_ = 0;
  std::thread thread_;
};

HttpServer::HttpServer(const HttpOptions& options) : impl_(std::make_unique<Impl>(options)) {}
HttpServer::~HttpServer() = default;
void HttpServer::Start(HttpGate gate, HttpHandler handler) {
  impl_->Start(std::move(gate), std::move(handler));
}
int HttpServer::port() const { return impl_->port(); }
int64_t HttpServer::connections() const { return impl_->connections(); }
void HttpServer::Stop(double seconds) { impl_->Stop(seconds); }

}  // namespace darkhorse
