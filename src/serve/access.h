// Who may ask: keys, the names a browser may call the server by, and that no other site's page
// asks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace darkhorse {

struct AccessOptions {
  std::vector<std::string> keys;        // none: anyone may ask
  std::vector<std::string> host_names;  // beside localhost and numeric addresses
};

inline constexpr size_t kMostKeyBytes = 256;

// The keys of a file, one a line; empty lines and those that begin with # are none. Error: it holds
// none, or one that is too long or no printable ASCII.
std::vector<std::string> ReadKeys(const std::string& path);

// Whether this is one of the keys. The time it takes does not tell how much of one was right.
bool IsKey(const std::vector<std::string>& keys, std::string_view given);

// Why a request is refused, if it is; by its head alone. A key comes as "Authorization: Bearer KEY"
// or "X-Api-Key: KEY"; /health and the page at / need none. Host must be a name that is the
// server's, or another site could point its own at this machine and read along (DNS rebinding);
// and Origin, which browsers send for a page's requests, the same as Host.
std::optional<ApiError> RefuseAccess(const AccessOptions& options, const HttpRequest& request);

// Whether an address is this machine's alone.
bool IsLoopback(const std::string& address);

}  // namespace darkhorse
