#include "serve/page.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/byte_source.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

// What was sent.
class Sent : public HttpReply {
 public:
  void Send(int status, std::string_view, std::string body, const Headers& headers) override {
    status_ = status;
    body_ = std::move(body);
    headers_ = {headers.begin(), headers.end()};
  }
  void Begin(int, std::string_view, std::string) override {}
  void Write(std::string) override {}
  void End() override {}
  void OnGone(std::function<void()>) override {}

  int status_ = 0;
  std::string body_;
  std::map<std::string, std::string> headers_;
};

Sent Ask(const PageFile& file, const std::map<std::string, std::string, std::less<>>& headers) {
  Sent sent;
  SendPageFile(file,
               {.method = "GET", .path = std::string(file.path), .body = "", .headers = headers},
               &sent);
  return sent;
}

TEST(Page, ComesCompressedToWhoTakesIt) {
  const ScratchDirectory scratch;
  ASSERT_FALSE(PageFiles().empty());
  for (const PageFile& file : PageFiles()) {
    const Sent plain = Ask(file, {}), packed = Ask(file, {{"accept-encoding", "gzip"}});
    EXPECT_EQ(plain.body_, file.bytes) << file.path;
    EXPECT_EQ(plain.headers_.count("Content-Encoding"), 0u);
    EXPECT_EQ(packed.headers_.at("Content-Encoding"), "gzip");
    EXPECT_LT(packed.body_.size(), plain.body_.size()) << file.path;
    EXPECT_EQ(ReadDecompressed(scratch.Write("file.gz", packed.body_), 1 << 26), file.bytes)
        << file.path;
    EXPECT_EQ(Ask(file, {{"accept-encoding", "gzip"}}).body_, packed.body_);
    for (const Sent& sent : {plain, packed}) EXPECT_EQ(sent.headers_.at("Vary"), "Accept-Encoding");
  }
}

// A browser that has the one is not told that it has the other.
TEST(Page, ATagIsOfTheBytesThatWereSent) {
  const PageFile& file = PageFiles().front();
  const std::string gzip = "gzip";
  const std::string plain = Ask(file, {}).headers_.at("ETag"),
                    packed = Ask(file, {{"accept-encoding", gzip}}).headers_.at("ETag");
  EXPECT_EQ(Ask(file, {{"if-none-match", plain}}).status_, 304);
  EXPECT_EQ(Ask(file, {{"if-none-match", packed}}).status_, 200);
  const Sent has = Ask(file, {{"if-none-match", packed}, {"accept-encoding", gzip}});
  EXPECT_EQ(has.status_, 304);
  EXPECT_EQ(has.body_, "");
  EXPECT_EQ(has.headers_.at("Vary"), "Accept-Encoding");
  EXPECT_EQ(Ask(file, {{"if-none-match", plain}, {"accept-encoding", gzip}}).status_, 200);
}

TEST(Page, EncodingsAreReadAsTheyAreSent) {
  for (const char* takes : {"gzip", "deflate, gzip;q=1.0, *;q=0.5", "GZip ; q=0.5", "*", "br,gzip"})
    EXPECT_TRUE(TakesGzip(takes)) << takes;
  for (const char* not_it :
       {"", "identity", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "xgzip", "br"})
    EXPECT_FALSE(TakesGzip(not_it)) << not_it;
}

}  // namespace
}  // namespace darkhorse
