#include "infer/request.h"

namespace darkhorse {

void SeparateStreams(std::vector<GenerationRequest>& requests, uint64_t first) {
  for (GenerationRequest& request : requests) {
    request.stream = first;
    first += static_cast<uint64_t>(request.samples);
  }
}

}  // namespace darkhorse
