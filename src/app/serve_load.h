// Many clients at once against a server of OpenAI's API, and what they saw.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/interrupt.h"

namespace darkhorse {

// Both ends included; each request draws its own.
struct LengthRange {
  int64_t low = 1, high = 1;
};

struct LoadOptions {
  std::string url, key;
  std::string model;  // "": the first that the server has
  int64_t clients = 8;
  int64_t requests = 64;  // different ones
  double seconds = 0;     // 0: each request once; else over and over, begun for so long
  LengthRange prompt_tokens{128, 128}, answer_tokens{64, 64};
  int64_t shared_prefix = 0;  // tokens at the beginning of every prompt, which are the same
  float temperature = 1;
  uint64_t seed = 0;
  bool verify = false;  // ask each request alone first, and compare
  StopRequest stop;
  std::function<void(const std::string&)> show;  // how far it is, a line
};

struct LoadResult {
  int64_t answered = 0;
  std::map<std::string, int64_t> failures;  // by what went wrong
  int64_t different = 0;                    // answers that were not what the same request got alone
  double seconds = 0;                       // from the first request to the last answer
  int64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;  // as the server counts
  // Seconds: until a stream's first piece, between two of its pieces, and until its end.
  std::vector<double> first, between, whole;
  // Of the server's process, bytes; where it tells: before, halfway and behind.
  std::vector<double> server_memory;

  int64_t failed() const;
};

// The bodies of /v1/completions that the options ask for. `ids`: tokens to make prompts of; empty:
// they are made of words, about one a token.
std::vector<nlohmann::ordered_json> LoadRequests(const LoadOptions& options,
                                                 const std::vector<int32_t>& ids);

// Error: the server cannot be reached, or refuses one of the requests that are asked alone.
LoadResult RunLoad(const LoadOptions& options);

// The smallest of the values that `share` of them, from 0 to 1, are at most; NaN of none.
double Quantile(std::vector<double> values, double share);

}  // namespace darkhorse
