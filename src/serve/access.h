// Who may ask: keys, the names a browser may call the server by, and that no other site's page
// asks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace darkhorse {

// A key, whose it is and how much it may ask (serve/key_limits.h).
struct AccessKey {
  std::string key;
  std::string name;                          // empty: none
  std::optional<int64_t> concurrent;         // requests; none: as many as the server takes
  std::optional<int64_t> tokens_per_minute;  // of prompts and answers
  bool operator==(const AccessKey&) const = default;
};

struct AccessOptions {
  std::vector<AccessKey> keys;          // none: anyone may ask
  std::vector<std::string> host_names;  // beside localhost and numeric addresses
};

inline constexpr size_t kMostKeyBytes = 256;

// The keys of a file, one a line, "KEY name=NAME concurrent=N tokens-per-minute=N", of which what
// follows the key may be left out; empty lines and those that begin with # are none. Error: it
// holds none, one that is too long or no printable ASCII, or twice the same key or name.
std::vector<AccessKey> ReadKeys(const std::string& path);

// Which of the keys this is; none: no key. The time it takes does not tell how much of one was
// right.
std::optional<size_t> FindKey(const std::vector<AccessKey>& keys, std::string_view given);
// Which of them the request comes with.
std::optional<size_t> FindKey(const AccessOptions& options, const HttpRequest& request);

// Why a request is refused, if it is; by its head alone. A key comes as "Authorization: Bearer KEY"
// or "X-Api-Key: KEY"; /health and the page (/, /page/) need none. Host must be a name that is the
// server's, or another site could point its own at this machine and read along (DNS rebinding);
// and Origin, which browsers send for a page's requests, the same as Host.
std::optional<ApiError> RefuseAccess(const AccessOptions& options, const HttpRequest& request);

// Whether an address is this machine's alone.
bool IsLoopback(const std::string& address);

}  // namespace darkhorse
