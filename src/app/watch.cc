#include "app/watch.h"

#include <unistd.h>

#include <filesystem>

#include "app/app.h"
#include "app/output.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "pipeline/run_report.h"
#include "serve/access.h"

namespace darkhorse {
namespace {

// What a completion might smuggle into the page does nothing.
constexpr char kPolicy[] =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

struct WatchFlags {
  std::string run;
  int port = 8081;
  int64_t refresh = 10;
};

void Run(const WatchFlags& flags) {
  if (!std::filesystem::is_directory(flags.run))
    Fail("{} is no folder; name the run's, which its command makes at once", flags.run);
  CatchInterrupts();
  HttpOptions http;
  http.port = flags.port;
  http.workers = 1;
  http.max_connections = 64;
  RunWatch watch(flags.run, static_cast<int>(flags.refresh));
  HttpServer server(http);
  server.Start([](const HttpRequest& request) { return RefuseAccess({}, request); },
               [&](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
                 watch.Answer(request, reply);
               });
  Note(fmt::format("{} is at http://{}:{}/ · Ctrl+C ends", Printable(flags.run), http.address,
                   server.port()));
  while (!Interrupted()) usleep(20'000);
  server.Stop(/*seconds=*/2);
}

}  // namespace

RunWatch::Page RunWatch::Read() const {
  try {
    return {200, "text/html; charset=utf-8", RunPage(run_)};
  } catch (const Error& error) {  // a run that has measured nothing yet
    return {503, "text/plain; charset=utf-8",
            fmt::format("There is nothing to show yet: {}\n", Printable(error.what(), 1000))};
  }
}

RunWatch::Page RunWatch::Now() {
  const std::lock_guard lock(mutex_);
  if (SteadySeconds() - read_ >= refresh_seconds_) {
    page_ = Read();
    read_ = SteadySeconds();
  }
  return page_;
}

void RunWatch::Answer(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  const auto refuse = [&](const ApiError& error) {
    reply->Send(error.status(), "application/json", ErrorBody(error));
  };
  if (request.path != "/") return refuse(ApiError(404, "there is the page at / alone"));
  if (request.method != "GET" && request.method != "HEAD")
    return refuse(ApiError(405, "the page at / takes GET"));
  try {
    Page page = Now();
    reply->Send(page.status, page.type, std::move(page.text),
                {{"Refresh", std::to_string(refresh_seconds_)},
                 {"Cache-Control", "no-store"},
                 {"Content-Security-Policy", kPolicy}});
  } catch (const std::exception& error) {
    refuse(ApiError(500, error.what()));
  }
}

void RegisterWatch(Command app) {
  const auto flags = std::make_shared<WatchFlags>();
  Command command =
      app.AddCommand("watch", "Show a run's curves and thoughts in a browser while it goes on");
  command.Add("run", flags->run, "run directory of pretrain, finetune, reinforce or run")
      .Required();
  command.Add("--port", flags->port, "0: any that is free").Within(0, 65535);
  command.Add("--refresh", flags->refresh, "seconds after which the page is read again")
      .Within(1, 86400);
  command.Footer(
      "It listens on this machine alone, reads the run's files and writes none. From elsewhere:\n"
      "ssh -L 8081:127.0.0.1:8081 MACHINE");
  command.Runs([flags] { Run(*flags); });
}

}  // namespace darkhorse
