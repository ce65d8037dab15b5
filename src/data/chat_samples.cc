#include "data/chat_samples.h"

#include <algorithm>
#include <string_view>

#include "base/ascii.h"
#include "base/error.h"
#include "text/tags.h"
#include "text/thoughts.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

// Whether both are in the text, the one before the other.
bool HoldsInOrder(std::string_view text, std::string_view first, std::string_view second) {
  const size_t at = text.find(first);
  return at != std::string_view::npos &&
         text.find(second, at + first.size()) != std::string_view::npos;
}

template <typename T>
bool BeginsWith(const std::vector<T>& all, const std::vector<T>& begin) {
  return all.size() >= begin.size() && std::equal(begin.begin(), begin.end(), all.begin());
}

// Tags in a text of one's own notation are the tokenizer's tags, all else is text.
MarkedText WithTags(std::string_view text) {
  MarkedText marked;
  while (!text.empty()) {
    size_t at = text.size();
    std::string_view first;
    for (const std::string_view tag : {kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose}) {
      if (const size_t found = text.find(tag); found < at) at = found, first = tag;
    }
    marked.Append(text.substr(0, at), Origin::kInput);
    marked.Append(first, Origin::kTemplate);
    text.remove_prefix(at + first.size());
  }
  return marked;
}

bool IsLearned(const Json& message) {
  const auto weight = message.find("weight");
  return message["role"] == "assistant" && (weight == message.end() || *weight != 0);
}

}  // namespace

ChatEncoder::ChatEncoder(const Tokenizer& tokenizer, ChatMarks marks, const std::string& name)
    : tokenizer_(tokenizer), marks_(std::move(marks)) {
  if (!marks_.chat_template.empty())
    template_ = ChatTemplate::Parse(marks_.chat_template, name + ": its chat template");
}

std::vector<ChatSample> ChatEncoder::Encode(const Chat& chat) {
  std::vector<ChatSample> samples;
  if (!template_) {
    ChatSample sample = Plain(chat);
    if (IsLearned(chat.messages[1])) samples.push_back(std::move(sample));
    return samples;
  }
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    if (!IsLearned(chat.messages[i])) continue;
    const MarkedText prompt = Render(chat, i, /*ready=*/true);
    std::vector<int32_t> tokens = EncodeChat(tokenizer_, prompt, marks_.bos);
    if (tokens.empty()) Fail("the chat template writes nothing before the assistant's turn");
    const std::vector<int32_t> answer = Answer(Turn(chat, i, prompt));
    if (samples.empty() || !BeginsWith(tokens, samples.back().tokens)) samples.emplace_back();
    ChatSample& sample = samples.back();
    const auto begin = static_cast<int64_t>(tokens.size());
    sample.tokens = std::move(tokens);
    sample.tokens.insert(sample.tokens.end(), answer.begin(), answer.end());
    sample.answers.push_back({begin, static_cast<int64_t>(sample.tokens.size())});
  }
  return samples;
}

MarkedText ChatEncoder::Render(const Chat& chat, size_t messages, bool ready) const {
  ChatOptions options;
  options.tools = chat.tools;
  options.bos_token = marks_.bos_token;
  options.eos_token = marks_.eos_token;
  options.add_generation_prompt = ready;
  Json some = Json::array();
  for (size_t i = 0; i < messages; ++i) some.push_back(chat.messages[i]);
  // A thought has a place of its own: where templates want it in the content, the turn is written
  // without them.
  for (Json& message : some) {
    if (message["role"] != "assistant") continue;
    const Said said = Split(message);
    message["content"] = said.content;
    if (!said.thought.empty()) message["reasoning_content"] = said.thought;
  }
  return template_->Render(some, options);
}

ChatEncoder::Said ChatEncoder::Split(const Json& message) {
  Said said{"", message["content"].get<std::string>()};
  if (const auto thought = message.find("reasoning_content"); thought != message.end()) {
    said.thought = thought->get<std::string>();
    return said;
  }
  const bool opens = TrimAscii(said.content).starts_with(kThinkOpen);
  // The prompt may have opened it.
  if (!opens && said.content.find(kThinkClose) == std::string::npos) return said;
  ThoughtSplitter splitter({}, /*inside=*/!opens);
  const ThoughtSplitter::Piece piece = splitter.Next(said.content), rest = splitter.End();
  if (splitter.in_thought()) Fail("a thought of the assistant is not closed: no {}", kThinkClose);
  return {piece.thought + rest.thought, piece.content + rest.content};
}

// What the template writes behind an assistant's text.
MarkedText ChatEncoder::EndOfTurn(const Chat& chat, size_t turn) const {
  constexpr std::string_view kProbe = "x";
  Chat probe = chat;
  probe.messages[turn] = {{"role", "assistant"}, {"content", kProbe}};
  const MarkedText text = Render(probe, turn + 1, /*ready=*/false);
  size_t end = text.size();
  while (end > 0 && text.OriginAt(end - 1) == Origin::kTemplate) --end;
  if (end == 0 || text.bytes()[end - 1] != kProbe.front())
    Fail("the chat template leaves out what the assistant says");
  return text.Part(end, text.size() - end);
}

MarkedText ChatEncoder::Turn(const Chat& chat, size_t turn, const MarkedText& prompt) const {
  const Json& message = chat.messages[turn];
  const Said said = Split(message);
  const MarkedText whole = Render(chat, turn + 1, /*ready=*/false);
  if (whole.bytes().starts_with(prompt.bytes())) {
    MarkedText written = whole.Part(prompt.size(), whole.size() - prompt.size());
    if (HoldsInOrder(written.bytes(), TrimAscii(said.thought), TrimAscii(said.content)))
      return written;
  }
  if (message.contains("tool_calls"))
    Fail("the chat template writes calls of tools otherwise than where they are to be made");
  MarkedText text;
  const bool inside = EndsInThought(prompt);
  if (inside || !TrimAscii(said.thought).empty()) {
    if (!inside) text.Append(kThinkOpen, Origin::kTemplate);
    if (!inside || !prompt.bytes().ends_with('\n')) text.Append("\n", Origin::kTemplate);
    text.Append(TrimAscii(said.thought), Origin::kInput);
    text.Append("\n", Origin::kTemplate);
    text.Append(kThinkClose, Origin::kTemplate);
    text.Append("\n\n", Origin::kTemplate);
  }
  text.Append(TrimAscii(said.content), Origin::kInput);
  text.Append(EndOfTurn(chat, turn));
  return text;
}

// The tokens of a turn up to the control token that ends it.
std::vector<int32_t> ChatEncoder::Answer(const MarkedText& turn) {
  std::vector<int32_t> ids = EncodeChat(tokenizer_, turn);
  const auto last =
      std::find_if(ids.rbegin(), ids.rend(), [&](int32_t id) { return tokenizer_.IsSpecial(id); });
  const auto behind = static_cast<size_t>(last - ids.rbegin());
  if (last != ids.rend() && TrimAscii(tokenizer_.Decode(std::span(ids).last(behind))).empty()) {
    ids.resize(ids.size() - behind);
    if (std::ranges::count(marks_.stops, ids.back()) == 0) new_stops_.insert(ids.back());
    return ids;
  }
  if (marks_.eos < 0) Fail("neither the chat template nor the model has a token that ends a turn");
  ids.push_back(marks_.eos);
  return ids;
}

ChatSample ChatEncoder::Plain(const Chat& chat) {
  const Json& messages = chat.messages;
  if (messages.size() != 2 || messages[0]["role"] != "user")
    Fail("the model has no chat template, so that a chat can be one question and its answer only");
  if (marks_.eos < 0) Fail("the model has no token that ends a text");
  std::string question = messages[0]["content"].get<std::string>();
  if (!question.ends_with('\n')) question += '\n';
  ChatSample sample;
  sample.tokens = tokenizer_.EncodeDocument(marks_.bos, question, /*allow_special=*/false);
  const auto begin = static_cast<int64_t>(sample.tokens.size());
  const Json& answer = messages[1];
  Split(answer);  // Error: a thought that is not closed
  std::string text = answer["content"].get<std::string>();
  if (const auto thought = answer.find("reasoning_content"); thought != answer.end())
    text = fmt::format("{}{}{}{}", kThinkOpen, thought->get<std::string>(), kThinkClose, text);
  const std::vector<int32_t> said = EncodeChat(tokenizer_, WithTags(text));
  sample.tokens.insert(sample.tokens.end(), said.begin(), said.end());
  sample.tokens.push_back(marks_.eos);
  sample.answers.push_back({begin, static_cast<int64_t>(sample.tokens.size())});
  return sample;
}

}  // namespace darkhorse
