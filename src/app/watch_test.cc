#include "app/watch.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

// Keeps what it is sent.
class Reply : public HttpReply {
 public:
  void Send(int status, std::string_view type, std::string body, const Headers& headers) override {
    status_ = status;
    type_ = type;
    body_ = std::move(body);
    for (const auto& [name, value] : headers) headers_[name] = value;
  }
  void Begin(int, std::string_view, std::string) override { FAIL(); }
  void Write(std::string) override { FAIL(); }
  void End() override { FAIL(); }
  void OnGone(std::function<void()>) override {}

  int status_ = 0;
  std::string type_, body_;
  std::map<std::string, std::string> headers_;
};

std::shared_ptr<Reply> Ask(RunWatch& watch, const std::string& method = "GET",
                           const std::string& path = "/") {
  auto reply = std::make_shared<Reply>();
  watch.Answer({.method = method, .path = path, .body = "", .headers = {}}, reply);
  return reply;
}

constexpr char kStep[] = R"({"step": 1, "loss": 2.5, "tokens": 10})"
                         "\n";

TEST(RunWatch, ShowsARunAsItGrows) {
  const ScratchDirectory scratch;
  RunWatch watch(scratch / "", /*refresh_seconds=*/0);
  const auto early = Ask(watch);
  EXPECT_EQ(early->status_, 503);
  EXPECT_EQ(early->type_, "text/plain; charset=utf-8");
  EXPECT_EQ(early->headers_["Refresh"], "0");  // it will be there
  scratch.Write("metrics.jsonl", kStep);
  const auto first = Ask(watch);
  EXPECT_EQ(first->status_, 200);
  EXPECT_EQ(first->type_, "text/html; charset=utf-8");
  EXPECT_NE(first->body_.find("1 step, 10 tokens"), std::string::npos) << first->body_;
  EXPECT_NE(first->headers_["Content-Security-Policy"].find("default-src 'none'"),
            std::string::npos);
  scratch.Write("metrics.jsonl", std::string(kStep) + R"({"step": 2, "loss": 2, "tokens": 20})"
                                                      "\n{\"step\": 3, \"lo");
  EXPECT_NE(Ask(watch, "HEAD")->body_.find("2 steps, 20 tokens"), std::string::npos);
  EXPECT_FALSE(FileExists(scratch / "report.html"));
}

TEST(RunWatch, ReadsOnceForAllWhoAsk) {
  const ScratchDirectory scratch;
  scratch.Write("metrics.jsonl", kStep);
  RunWatch watch(scratch / "", /*refresh_seconds=*/3600);
  const std::string page = Ask(watch)->body_;
  scratch.Write("metrics.jsonl", "");
  EXPECT_EQ(Ask(watch)->body_, page);
  EXPECT_EQ(Ask(watch)->headers_["Refresh"], "3600");
}

TEST(RunWatch, HasThePageAlone) {
  const ScratchDirectory scratch;
  RunWatch watch(scratch / "", 1);
  EXPECT_EQ(Ask(watch, "GET", "/metrics.jsonl")->status_, 404);
  EXPECT_EQ(Ask(watch, "POST")->status_, 405);
}

}  // namespace
}  // namespace darkhorse
