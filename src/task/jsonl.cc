#include "task/jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/ascii.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_spelling.h"
#include "base/row_faults.h"
#include "base/utf8.h"
#include "task/json_rows.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

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

class RowReader {
 public:
  RowReader(const std::string& task, AnswerColumn answers) : task_(task), answers_(answers) {}

  // Error, which does not name the row.
  Problem Read(std::string_view text, const std::string& where) const {
    RowObject(text, "{\"prompt\": …, \"answer\": …}");
    const Members members = JsonMembers(text);
    Problem row;
    row.task = task_;
    row.level = 0;
    row.where = where;
    row.prompt = Prompt(members);
    row.answer = Answer(members);
    if (TrimAscii(row.prompt).empty()) Bad("the prompt is empty");
    if (row.answer.empty() && answers_ != AnswerColumn::kOptional) Bad("the answer is empty");
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
    const size_t mark = answers_ == AnswerColumn::kWorked ? text.npos : text.rfind("####");
    return std::string(TrimAscii(mark == text.npos ? text : text.substr(mark + 4)));
  }

  [[noreturn]] void Bad(std::string_view what) const { Fail("{}", what); }

  const std::string& task_;
  AnswerColumn answers_;
};

}  // namespace

std::vector<Problem> ParseProblems(std::string_view text, const std::string& name,
                                   AnswerColumn answers) {
  const std::string task = std::filesystem::path(name).filename().string();
  const RowReader reader(task, answers);
  std::vector<Problem> problems;
  ForEachRow(text, name, [&](std::string_view row, const std::string& where) {
    problems.push_back(reader.Read(row, where));
  });
  if (problems.empty()) Fail("{}: no problems in it; write one JSON object a line", name);
  return problems;
}

void CheckReferences(const std::vector<Problem>& problems, Rule rule) {
  RowFaults faults;
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
