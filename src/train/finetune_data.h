// What fine-tuning learns from, in memory: the samples of files of chats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "data/chat_samples.h"
#include "train/micro_batch.h"
#include "train/options.h"

namespace darkhorse {

struct FinetuneData {
  std::vector<ChatSample> train, held_out;
  int64_t longest = 0;             // sample, in tokens
  uint64_t checksum = 0;           // of all samples, wherever their files lie
  std::vector<std::string> notes;  // what the user should know of them
};

// The samples of the files' chats, none longer than options.max_tokens or `context` tokens. A chat
// is held out whole, by the hash of what stands before its first answer: no chat's place depends on
// another, and chats that begin alike are together. Error: what ForEachChat and the encoder throw,
// an Error of which names file and line; no sample to learn from. Interruption.
FinetuneData ReadFinetuneData(const std::vector<std::string>& paths, ChatEncoder& encoder,
                              const FinetuneOptions& options, int64_t context,
                              const StopRequest& stop);

// Tokens of a sample that are learned.
int64_t LearnedTokens(const ChatSample& sample);

// The samples one behind another, each a document of its own that attention does not leave, in
// batches of about micro_batch_tokens rows; a longer sample is a batch alone. A target for each
// token that is learned, of the weight 1.
std::vector<MicroBatch> PackChats(std::span<const ChatSample* const> samples,
                                  int64_t micro_batch_tokens);

}  // namespace darkhorse
