#include "data/loader.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace darkhorse {

Loader::Loader(const TokenShard& shard, const std::string& shard_name, const LoaderOptions& options)
    : shard_(shard), options_(options) {
  if (options.sequence_length < 1) {
    FailUsage("sequence_length is {}; it must be at least 1", options.sequence_length);
  }
  if (shard.tokens() == 0) {
    Fail("{}: the shard holds no tokens; prepare it from a corpus that is not empty", shard_name);
  }
}

int64_t Loader::sequences_per_epoch() const {
  return (shard_.tokens() - 1) / options_.sequence_length + 1;
}

std::shared_ptr<const Loader::Epoch> Loader::MakeEpoch(int64_t number) const {
  auto epoch = std::make_shared<Epoch>();
  epoch->number = number;
  std::vector<int64_t>& order = epoch->order;
  order.resize(shard_.documents());
  std::iota(order.begin(), order.end(), int64_t{0});
  if (options_.shuffle) {
    RandomSequence random(options_.seed, RandomStream::kData, static_cast<uint64_t>(number));
    for (int64_t i = shard_.documents() - 1; i > 0; --i) {  // Fisher and Yates
      std::swap(order[i], order[random.Below(static_cast<uint64_t>(i) + 1)]);
    }
  }
  epoch->begins.reserve(order.size() + 1);
  epoch->begins.push_back(0);
  for (const int64_t document : order) {
    epoch->begins.push_back(epoch->begins.back() + shard_.DocumentBegin(document + 1) -
                            shard_.DocumentBegin(document));
  }
  return epoch;
}

std::shared_ptr<const Loader::Epoch> Loader::GetEpoch(int64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(epochs_.begin(), epochs_.end(),
                                  [&](const auto& epoch) { return epoch->number == number; });
  if (found != epochs_.end()) {
    std::rotate(found, found + 1, epochs_.end());
  } else {
    if (epochs_.size() == 2) epochs_.erase(epochs_.begin());
    epochs_.push_back(MakeEpoch(number));
  }
  return epochs_.back();
}

int32_t Loader::TokenAt(int64_t position) const {
  const auto epoch = GetEpoch(position / shard_.tokens());
  const int64_t offset = position % shard_.tokens();
  const auto& begins = epoch->begins;
  const auto index = std::upper_bound(begins.begin(), begins.end(), offset) - begins.begin() - 1;
  return shard_.Token(shard_.DocumentBegin(epoch->order[index]) + offset - begins[index]);
}

// `count` tokens, from token `begin` on, of the document that comes at `index` in the epoch.
void Loader::AppendPiece(const Epoch& epoch, int64_t index, int64_t begin, int64_t count,
                         TrainBatch* batch) const {
  const int64_t row = batch->rows();
  const int64_t from = shard_.DocumentBegin(epoch.order[index]) + begin;
  const bool goes_on = begin + count < epoch.begins[index + 1] - epoch.begins[index];
  const int64_t targets = goes_on ? count : count - 1;
  batch->tokens.resize(row + count);
  batch->targets.resize(row + count, 0);
  batch->weights.resize(row + targets, 1.0f);
  batch->weights.resize(row + count, 0.0f);
  shard_.Copy(from, count, batch->tokens.data() + row);
  shard_.Copy(from + 1, targets, batch->targets.data() + row);
  batch->segments.push_back({row, count});
}

// Positions [begin, end) of the stream: one sequence.
void Loader::AppendSequence(int64_t begin, int64_t end, TrainBatch* batch) const {
  const size_t first_segment = batch->segments.size();
  const int64_t first_row = batch->rows();
  for (int64_t position = begin; position < end;) {
    const auto epoch = GetEpoch(position / shard_.tokens());
    const auto& begins = epoch->begins;
    int64_t offset = position % shard_.tokens();
    auto index = std::upper_bound(begins.begin(), begins.end(), offset) - begins.begin() - 1;
    for (; position < end && index < shard_.documents(); ++index) {
      const int64_t count = std::min(begins[index + 1] - offset, end - position);
      AppendPiece(*epoch, index, offset - begins[index], count, batch);
      offset += count;
      position += count;
    }
  }
  if (!options_.cross_documents) return;
  batch->segments.resize(first_segment);
  batch->segments.push_back({first_row, end - begin});
  for (int64_t row = first_row; row < batch->rows(); ++row) {
    if (batch->weights[row] != 0) continue;
    const int64_t next = begin + row - first_row + 1;
    if (!options_.repeat && next == shard_.tokens()) continue;
    batch->targets[row] = row + 1 < batch->rows() ? batch->tokens[row + 1] : TokenAt(next);
    batch->weights[row] = 1.0f;
  }
}

TrainBatch Loader::Sequences(int64_t first, int64_t count) const {
  CHECK(first >= 0 && count >= 0 && first + count <= INT64_MAX / 2 / options_.sequence_length);
  TrainBatch batch;
  for (int64_t sequence = first; sequence < first + count; ++sequence) {
    const int64_t begin = sequence * options_.sequence_length;
    int64_t end = begin + options_.sequence_length;
    if (!options_.repeat) end = std::min(end, shard_.tokens());
    if (begin < end) AppendSequence(begin, end, &batch);
  }
  return batch;
}

}  // namespace darkhorse
