// A model behind HTTP: the routes of OpenAI's API, and what they need.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "infer/proposer.h"
#include "infer/sampler.h"
#include "model/kv_cache.h"
#include "pipeline/loaded_model.h"
#include "serve/access.h"
#include "serve/api_request.h"
#include "serve/http.h"

namespace darkhorse {

struct ServeOptions {
  HttpOptions http;
  AccessOptions access;
  RequestLimits limits;
  std::string name;  // what the model is called
  // Of each adapter that is loaded beside it: with it the model is called "name:adapter".
  std::vector<std::string> adapters;
  SamplingParams sampling;  // where a request says nothing
  CacheForm form = CacheForm::kExpanded;
  int64_t slots = 8;                   // completions computed at once
  int64_t context = kStandardContext;  // tokens of prompt and completion; the model's own if less
  int64_t cache_tokens = 0;            // of all slots together; 0: all may be full
  int64_t prefill_rows = 128;          // of prompts, in one step
  int64_t queue = 64;  // requests that wait beside `slots` others; further ones are told 429
};

class Server {
 public:
  // Serves from now on. proposer: what guesses tokens; null: nothing. http: of options.http, where
  // its address was taken before; null: it is taken now. Error: the address cannot be had, the
  // cache does not fit in memory, the model's chat template cannot be read.
  Server(const LoadedModel& loaded, const ServeOptions& options,
         std::unique_ptr<Proposer> proposer = nullptr, std::unique_ptr<HttpServer> http = nullptr);
  ~Server();  // Stop(0)

  int port() const;
  int64_t context() const;
  // Whether nothing is being answered.
  bool idle();
  // Refuses new requests, gives those that run so many seconds to finish, ends the others.
  void Stop(double grace_seconds);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace darkhorse
