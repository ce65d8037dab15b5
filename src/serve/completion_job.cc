#include "serve/completion_job.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "serve/api_error.h"
#include "text/stream.h"

namespace darkhorse {

CompletionJob::CompletionJob(std::shared_ptr<HttpReply> reply, ApiResponse response,
                             const Tokenizer& tokenizer, std::vector<Part> parts, Options options,
                             std::function<void()> on_end)
    : reply_(std::move(reply)),
      response_(std::move(response)),
      tokenizer_(tokenizer),
      parts_(std::move(parts)),
      told_(parts_.size()),
      options_(options),
      on_end_(std::move(on_end)) {
  for (const Part& part : parts_) {
    first_.push_back(choices_.size());
    usage_.prompt_tokens += part.prompt_tokens;
    for (int64_t sample = 0; sample < part.samples; ++sample) {
      const auto index = static_cast<int64_t>(choices_.size());
      choices_.push_back(
          {AnswerText(tokenizer, part.text), ChoicePart{.index = index, .content = part.echo}});
    }
  }
  unfinished_ = choices_.size();
}

void CompletionJob::OnAccepted() {
  if (!options_.stream) return;
  reply_->Begin(200, "text/event-stream", ": keep-alive\n\n");
  for (const Choice& choice : choices_) reply_->Write(response_.Opening(choice.said.index));
}

CompletionJob::Choice& CompletionJob::ChoiceOf(size_t part, const Completion& completion) {
  return choices_[first_[part] + static_cast<size_t>(completion.sample)];
}

void CompletionJob::TellPrompt(size_t part, const Completion& completion, Choice& choice) {
  if (std::exchange(choice.begun, true)) return;
  const std::vector<int32_t>& prompt = parts_[part].told_prompt;
  if (prompt.empty()) return;
  // The first sample is the first to be heard of.
  PromptTold& told = told_[part];
  if (completion.sample == 0) told = completion.prompt;
  CHECK(told.logp.size() + 1 == prompt.size());
  // A mark that the server put there is not in the text.
  const bool begins = parts_[part].echo.starts_with(tokenizer_.TokenBytes(prompt[0]));
  AddChance(choice, {prompt[0], std::nullopt, {}}, begins);
  for (size_t i = 1; i < prompt.size(); ++i) {
    AddChance(choice,
              {prompt[i], told.logp[i - 1],
               told.top.empty() ? std::vector<TokenLogp>() : told.top[i - 1]},
              /*shown=*/true);
  }
}

void CompletionJob::AddChance(Choice& choice, TokenChance chance, bool shown) {
  const std::string_view bytes = shown ? tokenizer_.TokenBytes(chance.token) : std::string_view();
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  // A token may begin amid a character, which tokens before it began.
  const bool amid = !bytes.empty() && !begins(bytes[0]) && choice.characters > 0;
  chance.offset = choice.characters - amid;
  choice.characters += std::ranges::count_if(bytes, begins);
  choice.said.chances.push_back(std::move(chance));
}

bool CompletionJob::OnToken(size_t part, const Completion& so_far) {
  Choice& choice = ChoiceOf(part, so_far);
  TellPrompt(part, so_far, choice);
  TokenChance chance{so_far.tokens.back(), so_far.logp.back(),
                     so_far.top.empty() ? std::vector<TokenLogp>() : so_far.top.back()};
  if (so_far.finish == FinishReason::kStop) {  // its end mark, which is no text
    choice.text.EndToken();
    if (options_.with_chances && options_.end_chance)
      AddChance(choice, std::move(chance), /*shown=*/false);
    return true;
  }
  const bool in_thought = choice.text.in_thought();
  AnswerText::Piece piece = choice.text.Next(so_far.tokens.back());
  if (options_.with_chances && !in_thought && !choice.text.in_thought())
    AddChance(choice, std::move(chance), !IsHiddenFromPeople(tokenizer_, so_far.tokens.back()));
  Say(choice, std::move(piece));
  choice.stopped_by_text = choice.text.stopped();
  return !choice.stopped_by_text;
}

void CompletionJob::Say(Choice& choice, AnswerText::Piece piece) {
  choice.said.thought += piece.thought;
  choice.said.content += piece.content;
  for (ToolCall& call : piece.calls) {
    if (choice.calls > 0 && options_.one_call) continue;
    ++choice.calls;
    choice.said.calls.push_back(std::move(call));
  }
  const bool nothing =
      choice.said.thought.empty() && choice.said.content.empty() && choice.said.calls.empty();
  if (!options_.stream || nothing) return;
  reply_->Write(response_.Chunk(choice.said));
  choice.said = {.index = choice.said.index, .first_call = choice.calls};
}

void CompletionJob::OnFinished(size_t part, Completion completion) {
  Choice& choice = ChoiceOf(part, completion);
  TellPrompt(part, completion, choice);
  Say(choice, choice.text.End());
  const bool stop = choice.stopped_by_text || completion.finish == FinishReason::kStop;
  choice.said.finish = !stop ? "length" : choice.calls > 0 ? "tool_calls" : "stop";
  if (options_.stream) reply_->Write(response_.Chunk(choice.said));
  usage_.completion_tokens += choice.text.tokens();
  usage_.reasoning_tokens += choice.text.thought_tokens();
  if (completion.sample == 0) usage_.cached_tokens += completion.cached;
  if (--unfinished_ == 0) End();
}

void CompletionJob::End() {
  reply_->Tell({{"prompt_tokens", usage_.prompt_tokens},
                {"cached_tokens", usage_.cached_tokens},
                {"completion_tokens", usage_.completion_tokens},
                {"reasoning_tokens", usage_.reasoning_tokens}});
  if (options_.stream) {
    if (options_.include_usage) reply_->Write(response_.UsageChunk(usage_));
    reply_->Write(ApiResponse::Done());
    reply_->End();
  } else {
    std::vector<ChoicePart> parts;
    for (Choice& choice : choices_) parts.push_back(std::move(choice.said));
    reply_->Send(200, "application/json", response_.Whole(parts, usage_));
  }
  on_end_();
}

void CompletionJob::OnFailed(const ApiError& why) {
  if (options_.stream) {
    reply_->Write(ApiResponse::ErrorEvent(why));
    reply_->End();
  } else {
    reply_->Send(why.status(), "application/json", ErrorBody(why));
  }
}

}  // namespace darkhorse
