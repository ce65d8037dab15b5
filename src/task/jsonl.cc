#include "task/jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/json.h"
#include "base/json_spelling.h"
#include "base/utf8.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxLine = 1 << 20;
constexpr int kMaxDepth = 64;

constexpr const char* kPromptColumns[] = {"prompt", "question", "problem"};
constexpr const char* kAnswerColumns[] = {"answer", "solution", "ground_truth"};

using Members = std::vector<JsonMember>;

// The first of these columns that the row has and that is not null.
Members::const_iterator Find(const Members& row, std::span<const char* const> names) {
  for (const char* name : names) {
    const auto found = std::find_if(row.begin(), row.end(), [&](const JsonMember& member) {
      return member.key == name && member.value != "null";
    });
    if (found != row.end()) return found;
  }
  return row.end();
}

// The columns that are neither the prompt nor the answer.
std::string Meta(Members row) {
  const auto erase = [&](std::span<const char* const> names) {
    const auto found = Find(row, names);  // one behind it is another column
    if (found != row.end()) row.erase(found);
  };
  erase(kPromptColumns);
  erase(kAnswerColumns);
  return JsonObjectOf(row);
}

// What is wrong with the rows of a file, told all at once.
class Faults {
 public:
  void Add(const std::string& where, std::string_view why) {
    constexpr int64_t kNamed = 10;
    constexpr size_t kLongest = 80;
    const std::string line = where.substr(where.rfind(':') + 1);
    if (++count_ == 1) {
      first_ = fmt::format("{}: {}", where, why);
    } else if (count_ > kNamed) {
      if (count_ == kNamed + 1) others_ += ", …";
    } else if (why == why_) {  // is not said once more
      others_ += fmt::format("{} {}", others_.empty() ? "" : ",", line);
    } else {
      others_ +=
          fmt::format("{} {}: {}", others_.empty() ? "" : ";", line, Printable(why, kLongest));
    }
    why_ = why;
  }
  // Error, where there are any.
  void Raise() const {
    if (count_ == 1) Fail("{}", first_);
    if (count_ > 1) Fail("{}; {} more rows cannot be used, of line{}", first_, count_ - 1, others_);
  }

 private:
  int64_t count_ = 0;
  std::string first_, others_;
  std::string why_;  // of the last one
};

class RowReader {
 public:
  RowReader(const std::string& task, AnswerColumn answers) : task_(task), answers_(answers) {}

  // Error, which does not name the row.
  Problem Read(std::string_view text, const std::string& where) const {
    if (text.size() > kMaxLine) Bad("longer than 1 MiB");
    std::string why;
    const std::optional<Json> parsed = TryParseJson<Json>(text, &why, kMaxDepth);
    if (!parsed) Bad(why);
    if (parsed->is_array())
      Bad("a JSON array, not an object; write one object a line: jq -c '.[]'");
    if (!parsed->is_object()) Bad("not a JSON object; write {\"prompt\": …, \"answer\": …}");
    const Members members = JsonMembers(text);
    Problem row;
    row.task = task_;
    row.level = 0;
    row.where = where;
    row.prompt = Prompt(members);
    row.answer = Answer(members);
    if (TrimAscii(row.prompt).empty()) Bad("the prompt is empty");
    if (row.answer.empty() && answers_ == AnswerColumn::kNeeded) Bad("the answer is empty");
    if (row.prompt.back() != '\n') row.prompt += '\n';
    row.meta = Meta(members);
    return row;
  }

 private:
  std::string Prompt(const Members& row) const {
    const auto found = Find(row, kPromptColumns);
    if (found == row.end()) Bad("no field prompt (or question, or problem)");
    const Json prompt = Json::parse(found->value);
    if (prompt.is_string()) return prompt.get<std::string>();
    if (!prompt.is_array()) Bad("field prompt is neither text nor a list of messages");
    for (auto message = prompt.rbegin(); message != prompt.rend(); ++message) {
      if (!message->is_object() || message->value("role", Json()) != "user") continue;
      const Json content = message->value("content", Json());
      if (content.is_string()) return content.get<std::string>();
      if (content.is_array()) Bad("the user's message is in parts; only text is read");
    }
    Bad("field prompt has no message of the user");
  }

  // A number, and what only a program can read, is handed on as it is spelt.
  std::string Answer(const Members& row) const {
    const auto found = Find(row, kAnswerColumns);
    std::string spelt = found == row.end() ? "" : found->value;
    for (const JsonMember& member : row) {
      if (member.key != "reward_model" || !member.value.starts_with('{')) continue;
      constexpr const char* kTruth[] = {"ground_truth"};
      const Members inner = JsonMembers(member.value);
      const auto truth = Find(inner, kTruth);
      if (truth != inner.end()) spelt = truth->value;
    }
    if (spelt.empty() && answers_ == AnswerColumn::kOptional) return "";
    if (spelt.empty()) {
      Bad("no field answer (or solution, ground_truth, reward_model.ground_truth)");
    }
    const Json answer = Json::parse(spelt);
    if (answer.is_number()) return spelt;
    if (!answer.is_string()) {
      if (answers_ == AnswerColumn::kOptional) return spelt;  // the program knows it
      Bad("the answer is neither text nor a number");
    }
    const std::string text = answer.get<std::string>();
    const size_t mark = text.rfind("####");
    return std::string(TrimAscii(mark == text.npos ? text : text.substr(mark + 4)));
  }

  [[noreturn]] void Bad(std::string_view what) const { Fail("{}", what); }

  const std::string& task_;
  AnswerColumn answers_;
};

// Of a whole file, before any of its lines is read.
void RefuseForeignText(std::string_view text, const std::string& name) {
  if (IsWideText(text)) Fail("{}: {}", name, kWideTextCure);
  if (text.starts_with("\x1F\x8B")) Fail("{}: gzip data; give it a name that ends in .gz", name);
  if (text.starts_with("\x28\xB5\x2F\xFD"))
    Fail("{}: zstd data; give it a name that ends in .zst", name);
  // Over several lines each of them would be refused, and none for what is wrong.
  const std::string_view first = TrimAscii(text.substr(0, text.find('\n')));
  if (first == "[" || first == "{")
    Fail("{}: one JSON value over several lines; write one object a line: jq -c {} {}", name,
         first == "[" ? "'.[]'" : ".", name);
}

}  // namespace

std::vector<Problem> ParseProblems(std::string_view text, const std::string& name,
                                   AnswerColumn answers) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  RefuseForeignText(text, name);
  const std::string task = std::filesystem::path(name).filename().string();
  const RowReader reader(task, answers);
  std::vector<Problem> problems;
  Faults faults;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    const std::string where = fmt::format("{}:{}", name, line);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (TrimAscii(row).empty()) continue;
    try {
      problems.push_back(reader.Read(row, where));
    } catch (const Error& error) {
      faults.Add(where, error.what());
    }
  }
  faults.Raise();
  if (problems.empty()) Fail("{}: no problems in it; write one JSON object a line", name);
  return problems;
}

void CheckReferences(const std::vector<Problem>& problems, Rule rule) {
  Faults faults;
  for (const Problem& problem : problems) {
    const std::string fault = ReferenceFault(rule, problem.answer);
    if (fault.empty()) continue;
    faults.Add(problem.where,
               fmt::format("the answer '{}' cannot be compared with: {}; mend the row or choose "
                           "another rule",
                           Printable(problem.answer, 60), fault));
  }
  faults.Raise();
}

SplitProblems SplitByPrompt(std::vector<Problem> problems, double held_out_share) {
  SplitProblems split;
  for (Problem& problem : problems) {
    const double place = static_cast<double>(StableHash(problem.prompt) >> 11) * 0x1p-53;
    (place < held_out_share ? split.held_out : split.train).push_back(std::move(problem));
  }
  return split;
}

}  // namespace darkhorse
