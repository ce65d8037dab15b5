#include "serve/request_log.h"

#include <gtest/gtest.h>

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
                        .left = true};
  const std::string line = LogLine(event, 1769903999.25);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_LT(line.size(), 400u);
  EXPECT_TRUE(line.starts_with(
      R"({"time":"2026-01-31T23:59:59.250Z","client":"::1","method":"POST","path":"/v1/?\"?aaa)"))
      << line;
  EXPECT_TRUE(line.ends_with(R"(...","status":200,"bytes":12,"seconds":0.123457,"left":true})"
                             "\n"))
      << line;
}

TEST(RequestLog, AppendsToItsFile) {
  const ScratchDirectory scratch;
  const std::string path = scratch.Write("log", "before\n");
  {
    const RequestLog log(path);
    log.Add({.path = "/a"});
    log.Add({.path = "/b"});
  }
  const std::string text = ReadFile(path);
  EXPECT_TRUE(text.starts_with("before\n{"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_LT(text.find("\"/a\""), text.find("\"/b\""));
  EXPECT_THROW(RequestLog(scratch / "none/log"), Error);
}

}  // namespace
}  // namespace darkhorse
