#include "task/answer_place.h"

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/error.h"
#include "base/nearest_name.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

struct Place {
  AnswerPlace place;
  std::string_view name, instruction, chinese;
};
constexpr Place kPlaces[] = {
    {AnswerPlace::kTags, "tags",
     "Think first, between <think> and </think>; then give the answer alone between <answer> and "
     "</answer>.",
     "先在 <think> 和 </think> 之间思考，然后把答案单独写在 <answer> 和 </answer> 之间。"},
    {AnswerPlace::kBoxed, "boxed",
     "Please reason step by step, and put your final answer within \\boxed{}.",
     "请逐步推理，并把最终答案放在 \\boxed{} 中。"},
    {AnswerPlace::kHashes, "hashes",
     "Please reason step by step, and write your final answer behind #### on the last line.",
     "请逐步推理，并在最后一行把最终答案写在 #### 后面。"},
    {AnswerPlace::kLastNumber, "last_number",
     "Please reason step by step, and end with your final answer.", "请逐步推理，最后给出答案。"},
    {AnswerPlace::kChoice, "choice",
     "Please reason step by step, and end with the letter of your choice.",
     "请逐步推理，最后给出所选的字母。"},
};

// Of an answer that a lenient reading finds in the last line.
constexpr std::string_view kLastLine = "last_line";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
// Of a word; what is not ASCII is part of one.
bool InWord(char c) { return IsAsciiLetter(c) || IsDigit(c) || (c & 0x80) != 0; }

Extracted Found(std::string_view answer) {
  return {.found = true, .answer = TrimAscii(answer), .well_formed = true, .why = ""};
}
Extracted Missing(std::string why) {
  return {.found = false, .answer = {}, .well_formed = false, .why = std::move(why)};
}

// What follows the thought.
Extracted Spoken(std::string_view completion) {
  if (!TrimAscii(completion).starts_with(kThinkOpen)) return Found(completion);
  const size_t close = completion.find(kThinkClose);
  if (close == completion.npos) return Missing("<think> is not closed");
  return Found(completion.substr(close + kThinkClose.size()));
}

Extracted Boxed(std::string_view text) {
  constexpr std::string_view kBox = "\\boxed{";
  const size_t box = text.rfind(kBox);
  if (box == text.npos) return Missing("no \\boxed{}");
  const size_t begin = box + kBox.size();
  int64_t open = 1;
  for (size_t at = begin; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;  // \{ is a brace of the text
    } else if (text[at] == '{') {
      ++open;
    } else if (text[at] == '}' && --open == 0) {
      return Found(text.substr(begin, at - begin));
    }
  }
  return Missing("\\boxed{} is not closed");
}

Extracted BehindHashes(std::string_view text) {
  constexpr std::string_view kHashes = "####";
  const size_t at = text.rfind(kHashes);
  if (at == text.npos) return Missing("no ####");
  const std::string_view rest = text.substr(at + kHashes.size());
  return Found(rest.substr(0, rest.find('\n')));
}

// Digits, with points, commas and slashes between them, and the sign before.
Extracted LastNumber(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && !IsDigit(text[end - 1])) --end;
  if (end == 0) return Missing("no number");
  size_t begin = end;
  const auto joins = [&](size_t at) {
    return text[at] == '.' || text[at] == ',' || text[at] == '/';
  };
  while (begin > 0 &&
         (IsDigit(text[begin - 1]) || (joins(begin - 1) && begin > 1 && IsDigit(text[begin - 2]))))
    --begin;
  const auto before = [&](size_t at) { return at > 0 ? text[at - 1] : ' '; };
  if (before(begin) == '.' && before(begin - 1) != '.' && !InWord(before(begin - 1)))
    --begin;  // .5
  if (before(begin) == '-' && !InWord(before(begin - 1)) && before(begin - 1) != ')')
    --begin;  // not of 7-5
  return Found(text.substr(begin, end - begin));
}

Extracted BetweenAnswerTags(std::string_view text) {
  const size_t close = text.rfind(kAnswerClose);
  const size_t open = text.substr(0, close).rfind(kAnswerOpen);
  if (close == text.npos || open == text.npos) return Missing("no <answer>");
  const size_t begin = open + kAnswerOpen.size();
  return Found(text.substr(begin, close - begin));
}

// A capital that is a word of its own; "A" and "I" before another word are words.
Extracted LastLetter(std::string_view text) {
  for (size_t at = text.size(); at > 0; --at) {
    const char c = text[at - 1];
    if (c < 'A' || c > 'Z' || (at > 1 && InWord(text[at - 2]))) continue;
    if (at < text.size() && (InWord(text[at]) || text[at] == '\'')) continue;
    const bool before_word = at + 1 < text.size() && text[at] == ' ' && InWord(text[at + 1]);
    if ((c == 'A' || c == 'I') && before_word) continue;
    return Found(text.substr(at - 1, 1));
  }
  return Missing("no letter");
}

Extracted LastLine(std::string_view text) {
  text = TrimAscii(text);
  const size_t newline = text.rfind('\n');
  return text.empty() ? Missing("no text")
                      : Found(newline == text.npos ? text : text.substr(newline + 1));
}

Extracted Find(AnswerPlace place, std::string_view completion) {
  if (place == AnswerPlace::kTags) return ExtractAnswer(completion);
  const Extracted spoken = Spoken(completion);
  if (!spoken.found) return spoken;
  switch (place) {
    case AnswerPlace::kTags:
      break;
    case AnswerPlace::kBoxed:
      return Boxed(spoken.answer);
    case AnswerPlace::kHashes:
      return BehindHashes(spoken.answer);
    case AnswerPlace::kLastNumber:
      return LastNumber(spoken.answer);
    case AnswerPlace::kChoice:
      return LastLetter(spoken.answer);
  }
  return spoken;
}

}  // namespace

std::vector<std::string> AnswerPlaceNames() {
  std::vector<std::string> names;
  for (const Place& place : kPlaces) names.emplace_back(place.name);
  return names;
}

AnswerPlace ParseAnswerPlace(std::string_view name) {
  for (const Place& place : kPlaces) {
    if (place.name == name) return place.place;
  }
  const std::vector<std::string> known = AnswerPlaceNames();
  name = name.substr(0, 64);
  FailUsage("unknown place of an answer '{}'; there are {}{}", name, fmt::join(known, ", "),
            DidYouMean(name, known));
}

std::string_view AnswerPlaceName(AnswerPlace place) {
  return kPlaces[static_cast<int>(place)].name;
}

std::string_view AnswerInstruction(AnswerPlace place, Words words) {
  const Place& known = kPlaces[static_cast<int>(place)];
  return words == Words::kChinese ? known.chinese : known.instruction;
}

std::string AnswerAt(AnswerPlace place, std::string_view answer) {
  if (place == AnswerPlace::kTags) return Completion("", answer);
  if (place == AnswerPlace::kBoxed) return fmt::format("\\boxed{{{}}}", answer);
  return fmt::format("{}{}", place == AnswerPlace::kHashes ? "#### " : "", answer);
}

Extracted StrictAnswer(AnswerPlace place, std::string_view completion) {
  Extracted answer = Find(place, completion);
  if (answer.found) answer.place = AnswerPlaceName(place);
  return answer;
}

Extracted LenientAnswer(AnswerPlace place, const AnswerJudge& judge, std::string_view completion) {
  const Extracted spoken = Spoken(completion);
  if (!spoken.found) return spoken;
  const auto at = [](Extracted answer, std::string_view name) {
    if (answer.found) answer.place = name;
    return answer;
  };
  const std::string_view text = spoken.answer;
  for (const Extracted& answer : {StrictAnswer(place, completion),
                                  at(BetweenAnswerTags(text), AnswerPlaceName(AnswerPlace::kTags)),
                                  at(Boxed(text), AnswerPlaceName(AnswerPlace::kBoxed)),
                                  at(BehindHashes(text), AnswerPlaceName(AnswerPlace::kHashes))}) {
    if (answer.found && judge.judge(answer.answer).legal) return answer;
  }
  switch (judge.last_resort) {
    case LastResort::kNumber:
      return at(LastNumber(text), AnswerPlaceName(AnswerPlace::kLastNumber));
    case LastResort::kLetter:
      return at(LastLetter(text), AnswerPlaceName(AnswerPlace::kChoice));
    case LastResort::kLine:
      break;
  }
  return at(LastLine(text), kLastLine);
}

}  // namespace darkhorse
