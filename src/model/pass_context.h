// What every layer needs to know of the pass it takes part in.
#pragma once

#include "base/arena.h"
#include "kernel/linear.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/part_clock.h"
#include "model/rope.h"

namespace darkhorse {

struct PassContext {
  const ModelConfig& config;
  RopeTable rope;
  const TokenBatch& batch;
  const int32_t* position;  // [T] document position of each row
  KvCache* cache;           // null in training
  Arena& arena;             // buffers that outlive the call are the caller's to release
  PartClock* clock;         // null: nobody asks where the time goes
  AdapterOfRow adapter_of_row = {};
  int64_t rows() const { return batch.rows(); }
};

}  // namespace darkhorse
