#include "serve/access.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

int Status(const AccessOptions& options, const std::string& path,
           const std::map<std::string, std::string, std::less<>>& headers) {
  HttpRequest request;
  request.path = path;
  request.headers = headers;
  const auto refusal = RefuseAccess(options, request);
  return refusal ? refusal->status() : 200;
}

TEST(Access, AKeyOpensEveryRouteButHealthAndPageWhichNeedNone) {
  const AccessOptions options{.keys = {{"sk-one"}, {"sk-two"}}};
  EXPECT_EQ(Status(options, "/v1/models", {}), 401);
  EXPECT_EQ(Status(options, "/metrics", {}), 401);
  EXPECT_EQ(Status(options, "/nowhere", {}), 401);
  EXPECT_EQ(Status(options, "/health", {}), 200);
  EXPECT_EQ(Status(options, "/", {}), 200);
  EXPECT_EQ(Status(options, "/page/main.js", {}), 200);
  EXPECT_EQ(Status(options, "/page", {}), 401);
  EXPECT_EQ(Status(options, "/v1/models", {{"authorization", "Bearer sk-two"}}), 200);
  EXPECT_EQ(Status(options, "/v1/models", {{"authorization", "bearer sk-one"}}), 200);
  EXPECT_EQ(Status(options, "/v1/models", {{"x-api-key", "sk-one"}}), 200);
  for (const char* wrong : {"", "sk-on", "sk-onee", "sk-twoo", "SK-ONE", "Bearer"}) {
    EXPECT_EQ(Status(options, "/v1/models", {{"authorization", std::string("Bearer ") + wrong}}),
              401);
  }
  EXPECT_EQ(Status(options, "/v1/models", {{"authorization", "sk-one"}}), 401);
  EXPECT_EQ(Status({}, "/v1/models", {}), 200);
}

TEST(Access, KeysAreComparedWhole) {
  const std::string longest(kMostKeyBytes, 'a');
  const std::vector<AccessKey> keys = {{"a"}, {longest}};
  EXPECT_EQ(FindKey(keys, longest), 1u);
  EXPECT_EQ(FindKey(keys, "a"), 0u);
  EXPECT_EQ(FindKey(keys, longest + "a"), std::nullopt);
  EXPECT_EQ(FindKey(keys, std::string("a\0", 2)), std::nullopt);
  EXPECT_EQ(FindKey({}, ""), std::nullopt);
}

TEST(Access, TheServerAnswersToItsOwnNamesAlone) {
  const AccessOptions options{.host_names = {"models.example"}};
  for (const char* host : {"localhost", "LOCALHOST:80", "127.0.0.1:8080", "192.168.1.2", "[::1]:80",
                           "[::1]", "models.example:443", "models.example"}) {
    EXPECT_EQ(Status(options, "/", {{"host", host}}), 200) << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[",
                           "[evil", "x:", ":80"}) {
    EXPECT_EQ(Status(options, "/", {{"host", host}}), 403) << host;
  }
}

TEST(Access, PagesOfOtherSitesMayNotAsk) {
  const auto status = [](const char* origin) {
    return Status({}, "/v1/models", {{"host", "localhost:8080"}, {"origin", origin}});
  };
  EXPECT_EQ(status("http://localhost:8080"), 200);
  EXPECT_EQ(status("http://LOCALHOST:8080"), 200);
  EXPECT_EQ(status("http://localhost:9090"), 403);
  EXPECT_EQ(status("https://evil.example"), 403);
  EXPECT_EQ(status("null"), 403);
}

TEST(Access, KeyFiles) {
  ScratchDirectory scratch;
  const auto write = [&](const std::string& text) {
    std::ofstream(scratch / "keys") << text;
    return scratch / "keys";
  };
  EXPECT_EQ(ReadKeys(write("# mine\nsk-one\r\n\nsk-two")),
            (std::vector<AccessKey>{{"sk-one"}, {"sk-two"}}));
  const std::string longest(kMostKeyBytes, '~');
  EXPECT_EQ(ReadKeys(write("!\n" + longest)), (std::vector<AccessKey>{{"!"}, {longest}}));
  EXPECT_THROW(ReadKeys(write("# none\n\n")), Error);
  EXPECT_THROW(ReadKeys(write("a b\n")), Error);
  EXPECT_THROW(ReadKeys(write(std::string(kMostKeyBytes + 1, 'a'))), Error);
  EXPECT_THROW(ReadKeys(scratch / "none"), Error);
}

TEST(Access, KeysHaveNamesAndLimits) {
  ScratchDirectory scratch;
  const auto read = [&](const std::string& text) {
    std::ofstream(scratch / "keys") << text;
    return ReadKeys(scratch / "keys");
  };
  EXPECT_EQ(read("sk-one name=ann concurrent=2 tokens-per-minute=6000\r\n"
                 "  sk-two\ttokens-per-minute=1  \n"
                 "sk=three name=a.b_c-d@E9\n"),
            (std::vector<AccessKey>{{"sk-one", "ann", 2, 6000},
                                    {"sk-two", "", std::nullopt, 1},
                                    {"sk=three", "a.b_c-d@E9", std::nullopt, std::nullopt}}));
  const auto message = [&](const std::string& text) {
    try {
      read("# of tests\n" + text);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_TRUE(message("a").ends_with("taken"));
  for (const char* wrong : {"a b", "a name", "a name=", "a Name=b", "a =b", "a rpm=3"}) {
    EXPECT_TRUE(message(wrong).ends_with(
        "behind a key must be name=NAME, concurrent=N or tokens-per-minute=N"))
        << wrong;
  }
  for (const char* wrong : {"0", "-1", "1.5", "x", "3x", "1000000000001", "99999999999999999999"}) {
    EXPECT_TRUE(message(std::string("a concurrent=") + wrong).find("line 2: concurrent is '") !=
                std::string::npos)
        << wrong;
    EXPECT_NE(message(std::string("a tokens-per-minute=") + wrong), "taken") << wrong;
  }
  for (const std::string wrong : {"a=b", "a\"", "a\\", "\xc3\xa9"})
    EXPECT_TRUE(message("a name=" + wrong).find("may have 64 letters") != std::string::npos);
  EXPECT_EQ(message("a name=" + std::string(64, 'a')), "taken");
  EXPECT_NE(message("a name=" + std::string(65, 'a')), "taken");
  EXPECT_TRUE(message("a\na name=b").ends_with("line 3: the key is there twice"));
  EXPECT_TRUE(message("a name=x\nb name=x").ends_with("line 3: two keys are called 'x'"));
}

TEST(Access, Loopback) {
  EXPECT_TRUE(IsLoopback("127.0.0.1"));
  EXPECT_TRUE(IsLoopback("127.1.2.3"));
  EXPECT_TRUE(IsLoopback("::1"));
  EXPECT_FALSE(IsLoopback("0.0.0.0"));
  EXPECT_FALSE(IsLoopback("::"));
  EXPECT_FALSE(IsLoopback("192.168.0.1"));
}

}  // namespace
}  // namespace darkhorse
