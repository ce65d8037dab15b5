#include "serve/request_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(RequestLog, SpellsARequestOnOneLine) {
  const HttpEvent event{.client = "::1",
                        .method = "POST",
                        .path = "/v1/\n\"\xff" + std::string(300, 'a'),
                        .status = 200,
                        .bytes = 12,
                        .seconds = 0.12345678,
                        .left = true,
                        .counts = {{"prompt_tokens", 7}, {"completion_tokens", 0}}};
  const std::string line = LogLine(event, 1769903999.25);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_LT(line.size(), 400u);
  EXPECT_TRUE(line.starts_with(
      R"({"time":"2026-01-31T23:59:59.250Z","client":"::1","method":"POST","path":"/v1/\\n\"\\xffaaa)"))
      << line;
  EXPECT_TRUE(line.ends_with(
      R"(...","status":200,"bytes":12,"seconds":0.123457,"left":true,"prompt_tokens":7,"completion_tokens":0})"
      "\n"))
      << line;
}

TEST(RequestLog, AppendsToItsFile) {
  const ScratchDirectory scratch;
  const std::string path = scratch.Write("log", "before\n");
  {
    RequestLog log(path, [](const std::string& what) { ADD_FAILURE() << what; });
    log.Add({.path = "/a"});
    log.Add({.path = "/b"});
  }
  const std::string text = ReadFile(path);
  EXPECT_TRUE(text.starts_with("before\n{"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_LT(text.find("\"/a\""), text.find("\"/b\""));
  EXPECT_THROW(RequestLog(scratch / "none/log", {}), Error);
}

TEST(RequestLog, SaysOnceThatLinesAreLost) {
  std::vector<std::string> said;
  RequestLog log("/dev/full", [&](const std::string& what) { said.push_back(what); });
  log.Add({.path = "/a"});
  log.Add({.path = "/b"});
  EXPECT_EQ(said, std::vector<std::string>{
                      "/dev/full: cannot append to it: No space left on device; requests are "
                      "missing in it until it can be"});
}

TEST(RequestLog, ALineBehindOneThatWasCutStandsAlone) {
  const ScratchDirectory scratch;
  const std::string path = scratch.Write("log", "before\n");
  int said = 0;
  RequestLog log(path, [&](const std::string&) { ++said; });
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{17, limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  log.Add({.path = "/a"});  // as far as there is room
  log.Add({.path = "/b"});
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  log.Add({.path = "/c"});
  EXPECT_EQ(said, 1);
  const std::string text = ReadFile(path);
  EXPECT_TRUE(text.starts_with("before\n{\"time\":\"2\n{\"time\":")) << text;
  EXPECT_EQ(text.find("\"/b\""), text.npos);
  EXPECT_TRUE(text.ends_with("}\n"));
}

// A signal comes while a pipe is full.
TEST(RequestLog, ASignalLosesNoLine) {
  static std::atomic<int> signals = 0;
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) { ++signals; };  // without SA_RESTART
  sigaction(SIGUSR1, &action, &before);
  const ScratchDirectory scratch;
  const std::string path = scratch / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const int filler = open(path.c_str(), O_WRONLY | O_NONBLOCK);
  while (write(filler, "x", 1) == 1) {
  }
  RequestLog log(path, [](const std::string& what) { ADD_FAILURE() << what; });
  std::atomic<bool> done = false;
  std::thread adds([&] {
    log.Add({.path = "/whole"});
    done = true;
  });
  while (signals < 20 && !done) {
    pthread_kill(adds.native_handle(), SIGUSR1);
    usleep(1000);
  }
  close(filler);
  // Room is made only now, and the line comes behind what was there.
  std::string text;
  char piece[4096];
  for (bool last = false; !last;) {
    last = done;
    ssize_t size = 0;
    while ((size = read(reader, piece, sizeof(piece))) > 0)
      text.append(piece, static_cast<size_t>(size));
  }
  adds.join();
  close(reader);
  sigaction(SIGUSR1, &before, nullptr);
  EXPECT_NE(text.find("\"/whole\""), text.npos);
}

}  // namespace
}  // namespace darkhorse
