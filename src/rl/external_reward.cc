#include "rl/external_reward.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/ascii.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_spelling.h"
#include "base/utf8.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

std::string RequestLine(size_t id, const RewardRequest& r) {
  constexpr int kMetaDepth = 64;  // what a file of problems may nest (task/jsonl.h)
  if (!TryParseJson<Json>(r.meta, nullptr, kMetaDepth))
    FailUsage("reward request {}: its meta is not JSON: {}", id, Printable(r.meta));
  // Completions may be any bytes; JSON wants UTF-8.
  std::string line =
      Json{{"id", id}, {"prompt", r.prompt}, {"completion", r.completion}, {"answer", r.answer}}
          .dump(-1, ' ', false, Json::error_handler_t::replace);
  line.pop_back();
  return line + ",\"meta\":" + CompactJson(r.meta) + "}\n";  // as the user spelt it
}

// Whether a line answers nothing that is asked now: an empty one, or one for an earlier id (ids
// come once).
bool IsStray(std::string_view line, size_t id) {
  if (line.find_first_not_of(" \t\r") == line.npos) return true;
  const std::optional<Json> json = TryParseJson<Json>(line);
  if (!json || !json->is_object()) return false;
  const Json theirs = json->value("id", Json());
  return theirs.is_number_unsigned() && theirs.get<size_t>() < id;
}

// As much as there is room for of a text of the program's.
std::string ShortLine(const std::string& text) {
  constexpr size_t kMost = 200;
  const std::string line = EscapedLine(text);
  if (line.size() <= kMost) return line;
  return line.substr(0, ValidUtf8Prefix(std::string_view(line).substr(0, kMost))) + "…";
}

struct Reply {
  Score score;
  std::optional<std::string> answer;  // that it read; null is as good as none given
};

// Fills a reply, or says what is wrong with it.
std::string ParseReply(std::string_view line, size_t id, Reply& reply) {
  Score& score = reply.score;
  std::string why;
  std::optional<Json> parsed = TryParseJson<Json>(line, &why);
  if (!parsed) {
    return why.ends_with("appears twice") ? "wrote a line in which " + why
                                          : "wrote a line that is not JSON (messages belong on "
                                            "standard error)";
  }
  const Json& json = *parsed;
  if (!json.is_object()) return "wrote a line that is not a JSON object";
  if (json.value("id", Json()) != Json(id)) {
    return json.contains("id") ? fmt::format("answered \"id\": {}, where the number {} was asked",
                                             json["id"].dump(), id)
                               : fmt::format("answered without \"id\": {}", id);
  }
  if (!json.contains("score")) return "answered without a \"score\"";
  const Json& number = json["score"];
  const auto worth = number.is_number() ? ScoreOf(number.get<double>()) : std::nullopt;
  if (!worth) return "gave a score that is not a number from 0 to 1";
  score.value = *worth;
  const Json parts = json.value("parts", Json::object());
  if (!parts.is_object()) return "gave \"parts\" that are not an object of numbers";
  for (const auto& [name, value] : parts.items()) {
    if (!value.is_number()) return "gave \"parts\" that are not an object of numbers";
    const double part = value.get<double>();
    if (name == "format" && !(part >= 0 && part <= 1))
      return "gave a part \"format\" that is not from 0 to 1";
    score.parts.emplace_back(name, value.get<double>());
  }
  const Json answer = json.value("answer", Json());
  if (!answer.is_null() && !answer.is_string()) return "gave an \"answer\" that is not a string";
  if (answer.is_string()) {
    reply.answer = TrimAscii(answer.get_ref<const std::string&>()).substr(0, kMaxAnswerLength);
  }
  const Json reason = json.value("why", Json());
  if (!reason.is_null() && !reason.is_string()) return "gave a \"why\" that is not a string";
  if (reason.is_string() && !reason.get_ref<const std::string&>().empty())
    score.why = ShortLine(reason.get_ref<const std::string&>());
  score.correct = score.value == 1;
  return "";
}

// Every failure is the reward program's.
std::string Failure(const std::string& failure) { return "the reward program " + failure; }

}  // namespace

std::optional<double> ScoreOf(double number) {
  if (number >= 1 - kFullMarksTolerance && number <= 1 + kFullMarksTolerance) return 1;
  if (!(number >= -kFullMarksTolerance && number <= 1)) return std::nullopt;
  return std::max(number, 0.0);
}

std::string ExternalReward::last_failure() const {
  return program_.failures() > 0 ? Failure(program_.last_failure()) : "";
}

std::vector<Score> ExternalReward::ScoreAll(std::span<const RewardRequest> requests,
                                            const StopRequest& stop) {
  const size_t first_id = std::exchange(next_id_, next_id_ + requests.size());
  std::vector<std::string> lines;
  for (size_t i = 0; i < requests.size(); ++i)
    lines.push_back(RequestLine(first_id + i, requests[i]));
  std::vector<Reply> replies(requests.size());
  const auto judge = [&](size_t request, std::string_view line) -> Judgement {
    if (IsStray(line, first_id + request)) return {Judgement::kStray, ""};
    Reply reply;
    reply.score.why = "the reward program's score";
    std::string wrong = ParseReply(line, first_id + request, reply);
    if (!wrong.empty()) return {Judgement::kRefused, std::move(wrong)};
    replies[request] = std::move(reply);
    return {Judgement::kAccepted, ""};
  };
  const std::vector<std::string> failures = program_.Ask(lines, judge, stop);
  std::vector<Score> scores;
  for (size_t i = 0; i < requests.size(); ++i) {
    Score& score = scores.emplace_back(std::move(replies[i].score));
    if (!failures[i].empty()) {
      score.failed = true;
      score.why = Failure(failures[i]);
    }
    const Extracted answer = StrictAnswer(place_, requests[i].completion);
    if (replies[i].answer) {
      score.parsed = *std::move(replies[i].answer);
    } else if (answer.found && answer.answer.size() <= kMaxAnswerLength) {
      score.parsed = answer.answer;
    }
  }
  return scores;
}

}  // namespace darkhorse
