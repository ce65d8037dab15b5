#include "serve/access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>

#include "base/ascii.h"
#include "base/error.h"
#include "base/file.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxKeyFileBytes = 1 << 20;
constexpr int64_t kMostLimit = 1'000'000'000'000;

// "name:port" without the port, "[::1]:8080" without brackets too.
std::string HostName(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return LowerAscii(host.substr(0, host.rfind(':')));
}

bool IsNumericAddress(const std::string& name) {
  in_addr four{};
  in6_addr six{};
  return inet_pton(AF_INET, name.c_str(), &four) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &six) == 1;
}

// What blanks part.
std::vector<std::string_view> Words(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  std::vector<std::string_view> words;
  for (size_t at = line.find_first_not_of(kBlanks); at != line.npos;) {
    const size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(kBlanks, end);
  }
  return words;
}

int64_t LimitOf(std::string_view text, std::string_view name, const std::string& place) {
  int64_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit < 1 || limit > kMostLimit)
    Fail("{}: {} is '{}'; it must be a number from 1 to {}", place, name, Printable(text, 40),
         kMostLimit);
  return limit;
}

bool IsNameCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '_' || c == '-' || c == '@';
}

AccessKey ReadKey(const std::vector<std::string_view>& words, const std::string& place) {
  AccessKey key;
  key.key = words[0];
  if (key.key.size() > kMostKeyBytes)
    Fail("{}: the key is longer than {} bytes", place, kMostKeyBytes);
  if (std::any_of(key.key.begin(), key.key.end(), [](char c) { return c <= ' ' || c > '~'; }))
    Fail("{}: a key may only have printable ASCII without spaces", place);
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string_view name = words[i].substr(0, equals);
    const std::string_view value =
        equals == words[i].npos ? std::string_view() : words[i].substr(equals + 1);
    const bool known = name == "name" || name == "concurrent" || name == "tokens-per-minute";
    if (!known || value.empty()) {
      Fail("{}: '{}' behind a key must be name=NAME, concurrent=N or tokens-per-minute=N", place,
           Printable(words[i], 40));
    }
    if (name == "name") {
      key.name = value;
      if (key.name.size() > 64 || !std::ranges::all_of(key.name, IsNameCharacter))
        Fail("{}: a key's name may have 64 letters, digits, '.', '_', '-' and '@'", place);
    } else if (name == "concurrent") {
      key.concurrent = LimitOf(value, name, place);
    } else {
      key.tokens_per_minute = LimitOf(value, name, place);
    }
  }
  return key;
}

std::string_view GivenKey(const HttpRequest& request) {
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = request.Header("authorization");
  if (LowerAscii(authorization.substr(0, kBearer.size())) == kBearer)
    return authorization.substr(kBearer.size());
  return request.Header("x-api-key");
}

}  // namespace

std::vector<AccessKey> ReadKeys(const std::string& path) {
  const std::string text = ReadFileOrPipe(path, kMaxKeyFileBytes);
  std::vector<AccessKey> keys;
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view whole = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++line;
    const std::vector<std::string_view> words = Words(whole);
    if (words.empty() || words[0].starts_with('#')) continue;
    AccessKey key = ReadKey(words, fmt::format("{}: line {}", path, line));
    for (const AccessKey& other : keys) {
      if (other.key == key.key) Fail("{}: line {}: the key is there twice", path, line);
      if (!key.name.empty() && other.name == key.name)
        Fail("{}: line {}: two keys are called '{}'", path, line, key.name);
    }
    keys.push_back(std::move(key));
  }
  if (keys.empty()) Fail("{}: it has no keys; write one a line", path);
  return keys;
}

std::optional<size_t> FindKey(const std::vector<AccessKey>& keys, std::string_view given) {
  // All keys are compared, each over the longest length there may be.
  std::optional<size_t> found;
  for (size_t which = 0; which < keys.size(); ++which) {
    const std::string& key = keys[which].key;
    unsigned different = key.size() != given.size();
    for (size_t i = 0; i < kMostKeyBytes; ++i) {
      const auto a = static_cast<unsigned char>(i < key.size() ? key[i] : 0);
      const auto b = static_cast<unsigned char>(i < given.size() ? given[i] : 0);
      different |= static_cast<unsigned>(a ^ b);
    }
    if (different == 0) found = which;
  }
  return found;
}

std::optional<size_t> FindKey(const AccessOptions& options, const HttpRequest& request) {
  return FindKey(options.keys, GivenKey(request));
}

std::optional<ApiError> RefuseAccess(const AccessOptions& options, const HttpRequest& request) {
  const std::string_view host = request.Header("host");
  const std::string name = HostName(host);
  const bool known = name == "localhost" || IsNumericAddress(name) ||
                     std::find(options.host_names.begin(), options.host_names.end(), name) !=
                         options.host_names.end();
  // HTTP/1.0 knows no Host, and no browser speaks it.
  if (!host.empty() && !known) {
    return ApiError(403, fmt::format("the server is not known as '{}'; --host-name adds a name",
                                     Printable(name, 80)));
  }
  const std::string_view origin = request.Header("origin");
  if (!origin.empty()) {
    const size_t scheme = origin.find("://");
    if (scheme == origin.npos || LowerAscii(origin.substr(scheme + 3)) != LowerAscii(host))
      return ApiError(403, "pages of other sites may not ask this server");
  }
  const bool is_open =
      request.path == "/health" || request.path == "/" || request.path.starts_with("/page/");
  if (options.keys.empty() || is_open) return std::nullopt;
  if (FindKey(options, request)) return std::nullopt;
  return ApiError(401, "a key is needed: send 'Authorization: Bearer KEY' with one that is valid",
                  "", "invalid_api_key");
}

bool IsLoopback(const std::string& address) {
  in_addr four{};
  if (inet_pton(AF_INET, address.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  return address == "::1";
}

}  // namespace darkhorse
