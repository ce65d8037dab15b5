#include "pipeline/rejection.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/ascii.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "rl/log.h"
#include "text/thoughts.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

Json Describe(const WrittenAnswer& answer) {
  const Score& score = answer.score;
  Json json{{"text", answer.text},
            {"tokens", answer.tokens},
            {"reward", score.value},
            {"correct", score.correct}};
  if (score.lenient) json["lenient"] = score.lenient->correct;
  for (const auto& [name, value] : score.parts) {
    if (name == "script") json["script"] = value;
  }
  json["cut_off"] = answer.truncated;
  json["readable"] = IsReadable(answer.text) && !answer.repeats;
  if (score.failed) json["failed"] = true;
  return json;
}

class Selector {
 public:
  explicit Selector(const SampleRecipe& recipe) : options_(recipe.sample) {}

  // Calls use(row) for each answer kept.
  template <typename Use>
  void Add(const Json& line, const Use& use) {
    ++all_.problems;
    const int64_t right = all_.right, kept = all_.kept;
    std::set<std::string> texts;
    int64_t index = -1;
    for (const Json& answer : line.at("samples")) {
      ++index;
      ++all_.answers;
      if (int64_t* reason = ReasonAgainst(answer, texts)) {
        ++*reason;
      } else if (all_.kept - kept == options_.keep) {
        ++all_.rejected.surplus;
      } else {
        use(Row(line, answer, index));
        Count(answer.at("tokens").get<int64_t>());
      }
    }
    all_.solved += all_.right > right;
    all_.covered += all_.kept > kept;
  }
  const Selection& all() const { return all_; }

 private:
  // The count that the answer belongs to; null: nothing speaks against it.
  int64_t* ReasonAgainst(const Json& answer, std::set<std::string>& texts) {
    Rejections& rejected = all_.rejected;
    if (answer.value("failed", false)) return &rejected.unscored;
    const bool right =
        answer.at("correct").get<bool>() || (!options_.strict && answer.value("lenient", false));
    if (!right) return &rejected.wrong;
    ++all_.right;
    if (answer.at("cut_off").get<bool>()) return &rejected.cut_off;
    if (!answer.at("readable").get<bool>()) return &rejected.unreadable;
    const auto tokens = answer.at("tokens").get<int64_t>();
    if (tokens < options_.min_length) return &rejected.too_short;
    if (options_.max_length > 0 && tokens > options_.max_length) return &rejected.too_long;
    if (answer.value("script", 1.0) < options_.script_share) return &rejected.other_script;
    const std::string text = answer.at("text").get<std::string>();
    if (!texts.insert(std::string(TrimAscii(text))).second) return &rejected.repeated;
    return nullptr;
  }

  Json Row(const Json& line, const Json& answer, int64_t index) const {
    Json row{{"messages", line.at("asked")}};
    row["messages"].push_back({{"role", "assistant"}, {"content", answer.at("text")}});
    for (const char* name : {"problem", "answer", "task"}) row[name] = line.at(name);
    row["reward"] = answer.at("reward");
    row["tokens"] = answer.at("tokens");
    row["seed"] = options_.seed;
    row["number"] = line.at("step");
    row["sample"] = index;
    return row;
  }

  void Count(int64_t tokens) {
    all_.tokens += tokens;
    all_.shortest = all_.kept == 0 ? tokens : std::min(all_.shortest, tokens);
    all_.longest = std::max(all_.longest, tokens);
    ++all_.kept;
  }

  const SampleOptions& options_;
  Selection all_;
};

}  // namespace

bool IsReadable(std::string_view text) {
  if (!IsValidUtf8(text)) return false;
  ThoughtSplitter splitter({}, /*inside=*/false);
  std::string said = splitter.Next(text).content;
  said += splitter.End().content;
  return !TrimAscii(said).empty();  // nothing of a thought that is not closed
}

Json AnswersLine(int64_t step, const Problem& problem, const Json& asked,
                 std::span<const WrittenAnswer> answers) {
  Json line{{"step", step},
            {"task",
             problem.level > 0 ? fmt::format("{}:{}", problem.task, problem.level) : problem.task},
            {"problem", TrimAscii(problem.prompt)},
            {"answer", problem.answer},
            {"asked", asked},
            {"samples", Json::array()}};
  for (const WrittenAnswer& answer : answers) line["samples"].push_back(Describe(answer));
  return line;
}

Selection SelectAnswers(const SampleRecipe& recipe, const std::string& samples,
                        const std::string& chats) {
  Selector selector(recipe);
  const MappedFile file(samples);
  FileWriter writer(chats);
  int64_t number = 0;
  std::string_view rest = file.text();
  for (size_t end; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
    ++number;
    try {
      const Json line = TryParseJson<Json>(rest.substr(0, end)).value_or(Json());
      selector.Add(line, [&](const Json& row) { writer.Write(JsonLine(row) + "\n"); });
    } catch (const Json::exception&) {
      Fail("{}:{}: is damaged; sample anew, in another folder", samples, number);
    }
  }
  writer.Commit();
  return selector.all();
}

}  // namespace darkhorse
