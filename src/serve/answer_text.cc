#include "serve/answer_text.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace darkhorse {

AnswerText::AnswerText(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      shown_(std::move(options.shown)),
      stream_(tokenizer, /*for_people=*/true),
      content_(std::move(options.stops)) {
  if (options.splits) splitter_.emplace(ThoughtTags{}, options.in_thought);
  if (options.calls) calls_.emplace(*options.calls, std::move(options.tools));
}

void AnswerText::CountToken() {
  ++tokens_;
  if (in_thought()) ++thought_tokens_;
}

AnswerText::Piece AnswerText::Next(int32_t token) {
  if (stopped_) return {};
  const bool before = in_thought();
  const bool shown = std::find(shown_.begin(), shown_.end(), token) != shown_.end();
  Piece piece = Split(shown ? stream_.End() + std::string(tokenizer_.TokenBytes(token))
                            : stream_.Next(token));
  ++tokens_;
  if (before || in_thought()) ++thought_tokens_;
  TakeCalls(&piece, /*end=*/false);
  piece.content = Pass(std::move(piece.content), /*end=*/false);
  return piece;
}

AnswerText::Piece AnswerText::End() {
  if (stopped_) return {};
  Piece piece = Split(stream_.End());
  if (splitter_) {
    ThoughtSplitter::Piece last = splitter_->End();
    piece.thought += last.thought;
    piece.content += last.content;
  }
  TakeCalls(&piece, /*end=*/true);
  piece.content = Pass(std::move(piece.content), /*end=*/true);
  return piece;
}

AnswerText::Piece AnswerText::Split(const std::string& text) {
  if (!splitter_) return {"", text, {}};
  ThoughtSplitter::Piece piece = splitter_->Next(text);
  return {std::move(piece.thought), std::move(piece.content), {}};
}

void AnswerText::TakeCalls(Piece* piece, bool end) {
  if (!calls_) return;
  ToolCallReader::Piece taken = calls_->Next(piece->content);
  if (end) {
    ToolCallReader::Piece last = calls_->End();
    taken.content += last.content;
    std::move(last.calls.begin(), last.calls.end(), std::back_inserter(taken.calls));
  }
  piece->content = std::move(taken.content);
  piece->calls = std::move(taken.calls);
}

std::string AnswerText::Pass(std::string content, bool end) {
  stopped_ = !content_.Append(content);
  const size_t certain = end ? content_.text().size() : content_.certain();
  std::string piece = content_.text().substr(told_, certain - told_);
  told_ = certain;
  return piece;
}

}  // namespace darkhorse
