#include "serve/access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>

#include "base/ascii.h"
#include "base/error.h"
#include "base/file.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxKeyFileBytes = 1 << 20;

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

std::string_view GivenKey(const HttpRequest& request) {
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = request.Header("authorization");
  if (LowerAscii(authorization.substr(0, kBearer.size())) == kBearer)
    return authorization.substr(kBearer.size());
  return request.Header("x-api-key");
}

}  // namespace

std::vector<std::string> ReadKeys(const std::string& path) {
  const std::string text = ReadFileOrPipe(path, kMaxKeyFileBytes);
  std::vector<std::string> keys;
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string key = text.substr(begin, end - begin);
    begin = end + 1;
    ++line;
    if (key.ends_with('\r')) key.pop_back();
    if (key.empty() || key.starts_with('#')) continue;
    if (key.size() > kMostKeyBytes)
      Fail("{}: line {}: the key is longer than {} bytes", path, line, kMostKeyBytes);
    if (std::any_of(key.begin(), key.end(), [](char c) { return c <= ' ' || c > '~'; }))
      Fail("{}: line {}: a key may only have printable ASCII without spaces", path, line);
    keys.push_back(std::move(key));
  }
  if (keys.empty()) Fail("{}: it has no keys; write one a line", path);
  return keys;
}

bool IsKey(const std::vector<std::string>& keys, std::string_view given) {
  // All keys are compared, each over the longest length there may be.
  unsigned found = 0;
  for (const std::string& key : keys) {
    unsigned different = key.size() != given.size();
    for (size_t i = 0; i < kMostKeyBytes; ++i) {
      const auto a = static_cast<unsigned char>(i < key.size() ? key[i] : 0);
      const auto b = static_cast<unsigned char>(i < given.size() ? given[i] : 0);
      different |= static_cast<unsigned>(a ^ b);
    }
    found |= different == 0;
  }
  return found != 0;
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
  if (options.keys.empty() || request.path == "/health" || request.path == "/") return std::nullopt;
  if (IsKey(options.keys, GivenKey(request))) return std::nullopt;
  return ApiError(401, "a key is needed: send 'Authorization: Bearer KEY' with one that is valid",
                  "", "invalid_api_key");
}

bool IsLoopback(const std::string& address) {
  in_addr four{};
  if (inet_pton(AF_INET, address.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  return address == "::1";
}

}  // namespace darkhorse
