#include "task/jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxLine = 1 << 20;

const Json* Find(const Json& row, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = row.find(name);
    if (found != row.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

class RowReader {
 public:
  RowReader(const std::string& name, int64_t line) : name_(name), line_(line) {}

  Row Read(std::string_view text) const {
    if (text.size() > kMaxLine) Bad("longer than 1 MiB");
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded() || !json.is_object()) Bad("not a JSON object");
    Row row;
    row.line = line_;
    row.prompt = Prompt(json);
    row.answer = Answer(json);
    if (TrimAscii(row.prompt).empty()) Bad("the prompt is empty");
    if (row.answer.empty()) Bad("the answer is empty");
    if (row.prompt.back() != '\n') row.prompt += '\n';
    return row;
  }

 private:
  std::string Prompt(const Json& json) const {
    const Json* prompt = Find(json, {"prompt", "question", "problem"});
    if (prompt == nullptr) Bad("no field prompt (or question, or problem)");
    if (prompt->is_string()) return prompt->get<std::string>();
    if (!prompt->is_array()) Bad("field prompt is neither text nor a list of messages");
    for (auto message = prompt->rbegin(); message != prompt->rend(); ++message) {
      if (!message->is_object() || message->value("role", Json()) != "user") continue;
      const Json content = message->value("content", Json());
      if (content.is_string()) return content.get<std::string>();
    }
    Bad("field prompt has no message of the user");
  }

  std::string Answer(const Json& json) const {
    const Json* answer = Find(json, {"answer", "solution", "ground_truth"});
    const Json* reward = Find(json, {"reward_model"});
    if (reward != nullptr && reward->is_object()) {
      const Json* truth = Find(*reward, {"ground_truth"});
      if (truth != nullptr) answer = truth;
    }
    if (answer == nullptr) {
      Bad("no field answer (or solution, ground_truth, reward_model.ground_truth)");
    }
    if (answer->is_number()) return answer->dump();
    if (!answer->is_string()) Bad("the answer is neither text nor a number");
    const std::string text = answer->get<std::string>();
    const size_t mark = text.rfind("####");
    return std::string(TrimAscii(mark == text.npos ? text : text.substr(mark + 4)));
  }

  [[noreturn]] void Bad(const char* what) const { Fail("{}:{}: {}", name_, line_, what); }

  const std::string& name_;
  int64_t line_;
};

class RowTask : public Task {
 public:
  RowTask(std::string name, std::vector<Row> rows, Rule rule)
      : name_(std::move(name)), rows_(std::move(rows)), rule_(rule) {}
  std::string Name() const override { return name_; }
  int Levels() const override { return 1; }
  std::string Help() const override {
    return "Answer the question. Think inside <think> and </think>, then give the answer inside "
           "<answer> and </answer>.";
  }
  // Another row's answer.
  std::string Guess(const Problem&, RandomSequence& random) const override {
    return rows_[random.Below(rows_.size())].answer;
  }

 protected:
  void Draw(int, RandomSequence& random, Problem& problem) const override {
    problem.target = static_cast<int64_t>(random.Below(rows_.size()));
    const Row& row = rows_[static_cast<size_t>(problem.target)];
    problem.prompt = row.prompt;
    problem.answer = row.answer;
  }

  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override {
    const RuleVerdict verdict = Compare(rule_, answer, problem.answer);
    why = verdict.correct ? "right"
          : verdict.legal ? fmt::format("not {}", problem.answer.substr(0, kMaxAnswerLength))
                          : fmt::format("not an answer the {} rule can read", RuleName(rule_));
    return verdict.correct ? Verdict::kCorrect
           : verdict.legal ? Verdict::kWrong
                           : Verdict::kIllegal;
  }

  std::vector<std::string> Steps(const Problem&) const override { return {}; }

 private:
  std::string name_;
  std::vector<Row> rows_;
  Rule rule_;
};

}  // namespace

std::vector<Row> ParseProblems(std::string_view text, const std::string& name) {
  std::vector<Row> rows;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = TrimAscii(text.substr(0, end));
    if (!row.empty()) rows.push_back(RowReader(name, line).Read(row));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (rows.empty()) Fail("{}: no problems in it; write one JSON object a line", name);
  return rows;
}

std::vector<Row> ReadProblems(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail("{}: cannot be opened", path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) Fail("{}: cannot be read", path);
  return ParseProblems(text, path);
}

std::unique_ptr<Task> MakeRowTask(std::string name, std::vector<Row> rows, Rule rule) {
  CHECK(!rows.empty());
  return std::make_unique<RowTask>(std::move(name), std::move(rows), rule);
}

}  // namespace darkhorse
