#include "train/finetune_data.h"

#include <algorithm>
#include <array>

#include "base/checksum.h"
#include "base/error.h"
#include "base/format.h"

namespace darkhorse {
namespace {

double PlaceOf(const Chat& chat) {
  std::string opening;
  for (const auto& message : chat.messages) {
    if (message["role"] == "assistant") break;
    opening += message["content"].get<std::string>() + '\n';
  }
  return static_cast<double>(Checksum64(opening) >> 11) * 0x1p-53;
}

// Leaves the first `length` tokens; false where nothing is left to learn.
bool Cut(ChatSample* sample, int64_t length) {
  sample->tokens.resize(static_cast<size_t>(length));
  std::erase_if(sample->answers, [&](const TokenRange& r) { return r.begin >= length; });
  if (sample->answers.empty()) return false;
  TokenRange& last = sample->answers.back();
  last.end = std::min(last.end, length);
  return true;
}

uint64_t AddToChecksum(const ChatSample& sample, uint64_t so_far) {
  std::vector<uint64_t> parts = {so_far, Checksum64(std::as_bytes(std::span(sample.tokens))),
                                 Checksum64(std::as_bytes(std::span(sample.answers)))};
  return Checksum64(std::as_bytes(std::span(parts)));
}

std::string Summary(const ChatCounts& counts, const FinetuneData& data) {
  int64_t tokens = 0, learned = 0;
  for (const ChatSample& sample : data.train) {
    tokens += static_cast<int64_t>(sample.tokens.size());
    learned += LearnedTokens(sample);
  }
  return fmt::format(
      "{}: {} of {} tokens, {} of them learned; {} held out", Counted(counts.chats, "chat"),
      Counted(std::ssize(data.train), "sample"), FormatCount(static_cast<double>(tokens)),
      FormatCount(static_cast<double>(learned)), Counted(std::ssize(data.held_out), "sample"));
}

}  // namespace

int64_t LearnedTokens(const ChatSample& sample) {
  int64_t tokens = 0;
  for (const TokenRange& range : sample.answers) tokens += range.end - range.begin;
  return tokens;
}

FinetuneData ReadFinetuneData(const std::vector<std::string>& paths, ChatEncoder& encoder,
                              const FinetuneOptions& options, int64_t context,
                              const StopRequest& stop) {
  const int64_t longest = options.max_tokens > 0 ? std::min(options.max_tokens, context) : context;
  FinetuneData data;
  int64_t too_long = 0;
  const ChatCounts counts = ForEachChat(paths, [&](const Chat& chat) {
    LeaveIfAsked(stop);
    auto& side = PlaceOf(chat) < options.held_out_share ? data.held_out : data.train;
    for (ChatSample& sample : encoder.Encode(chat)) {
      if (static_cast<int64_t>(sample.tokens.size()) > longest) {
        ++too_long;
        if (options.too_long != "cut" || !Cut(&sample, longest)) continue;
      }
      data.longest = std::max(data.longest, static_cast<int64_t>(sample.tokens.size()));
      side.push_back(std::move(sample));
    }
  });
  if (counts.rows_without_answer > 0 || counts.wrong_answers > 0) {
    data.notes.push_back(fmt::format("{} left out, wrong or cut off; no right one in {} of {}",
                                     Counted(counts.wrong_answers, "generation"),
                                     counts.rows_without_answer, Counted(counts.rows, "row")));
  }
  if (too_long > 0) {
    data.notes.push_back(fmt::format(
        "{} of more than {}, {}: {}", Counted(too_long, "sample"), Counted(longest, "token"),
        longest == context ? "what the model's context holds" : "finetune.max_tokens",
        options.too_long == "cut" ? "cut there, and left out where no answer begins before"
                                  : "left out (finetune.too_long = \"cut\" cuts them)"));
  }
  if (data.train.empty()) {
    Fail("{}: no sample to learn from: {}, {}; {} too long, {} held out", fmt::join(paths, ", "),
         Counted(counts.rows, "row"), Counted(counts.chats, "chat"), Counted(too_long, "sample"),
         data.held_out.size());
  }
  data.notes.push_back(Summary(counts, data));
  if (data.held_out.empty()) {
    data.notes.push_back(
        "no chat is held out: the loss on what was not learned is not measured "
        "(finetune.held_out_share)");
  }
  for (const auto* side : {&data.train, &data.held_out}) {
    data.checksum = AddToChecksum({}, data.checksum);  // where one ends
    for (const ChatSample& sample : *side) data.checksum = AddToChecksum(sample, data.checksum);
  }
  return data;
}

std::vector<MicroBatch> PackChats(std::span<const ChatSample* const> samples,
                                  int64_t micro_batch_tokens) {
  std::vector<MicroBatch> parts;
  for (const ChatSample* sample : samples) {
    const auto rows = static_cast<int64_t>(sample->tokens.size()) - 1;
    if (parts.empty() || parts.back().batch.rows() + rows > micro_batch_tokens)
      parts.emplace_back();
    MicroBatch& part = parts.back();
    const int64_t row = part.batch.rows();
    part.batch.segments.push_back({row, rows, 0, -1});
    part.batch.tokens.insert(part.batch.tokens.end(), sample->tokens.begin(),
                             sample->tokens.end() - 1);
    part.target.resize(static_cast<size_t>(row + rows), -1);
    part.weight.resize(part.target.size(), 0.0f);
    for (const TokenRange& range : sample->answers) {
      for (int64_t i = range.begin; i < range.end; ++i) {
        const auto at = static_cast<size_t>(row + i - 1);
        part.target[at] = sample->tokens[static_cast<size_t>(i)];
        part.weight[at] = 1;
      }
    }
  }
  return parts;
}

}  // namespace darkhorse
