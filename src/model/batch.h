// What the transformer is given: tokens in rows, and which rows form which document.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace darkhorse {

// Consecutive rows of the batch that are consecutive tokens of one document. Attention never leaves
// a document. In training a segment is a whole document (position 0, slot -1), or the rest of one
// whose first tokens are another segment's first rows, computed once for all that begin with them
// (`prefix`); in generation it is the chunk of a sequence being computed now: a prompt or part of
// it, or one token; the tokens before it are in the cache at `slot`.
struct Segment {
  int64_t row = 0;       // first row
  int64_t rows = 0;      // how many
  int64_t position = 0;  // document position of the first row
  int64_t slot = -1;     // cache slot, or -1: no cache
  int64_t prefix = -1;   // the row, before `row`, of this document's position 0; -1: none
  int32_t adapter = 0;   // of those beside the weights (model/adapter.h), which its rows take
  // How many rows elsewhere belong to it, where there is no cache.
  int64_t prefix_rows() const { return prefix < 0 ? 0 : position; }
};

struct TokenBatch {
  std::vector<int32_t> tokens;    // [T] one per row
  std::vector<Segment> segments;  // cover the rows in order
  int64_t sequence_rows = 0;  // rows of one sequence of the balance loss; 0: each segment is one
  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
  // How many positions there are up to the last row of any document.
  int64_t positions() const {
    int64_t end = 0;
    for (const Segment& segment : segments) end = std::max(end, segment.position + segment.rows);
    return end;
  }
};

}  // namespace darkhorse
