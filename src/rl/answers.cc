#include "rl/answers.h"

#include <algorithm>

#include "text/script.h"

namespace darkhorse {

namespace {

// Whether every answer is a number.
bool AreNumbers(const ProblemsOptions& options, const std::vector<std::string>& tasks) {
  if (!options.file.empty()) return options.rule == "numeric";
  if (tasks.empty()) return false;
  return std::ranges::all_of(ParseMixture(tasks), [](const WeightedTask& entry) {
    const Problem problem = entry.task->Make(0, 0, entry.level);
    return entry.task->JudgeOf(problem).last_resort == LastResort::kNumber;
  });
}

}  // namespace

ProblemsOptions DecidedFor(ProblemsOptions options, const std::vector<std::string>& tasks,
                           bool chats) {
  if (!chats) return options;
  // A program of the user's reads answers itself, wherever they stand.
  if (options.answer == "auto" && options.reward.empty()) {
    // Small models follow no instruction to box an answer; a number needs none to be found.
    const AnswerPlace place = options.rule == "choice"     ? AnswerPlace::kChoice
                              : AreNumbers(options, tasks) ? AnswerPlace::kLastNumber
                                                           : AnswerPlace::kBoxed;
    options.answer = AnswerPlaceName(place);
  }
  if (options.words == "auto") options.words = "english";
  if (options.format_reward == "auto") options.format_reward = "with_answer";
  return options;
}

Reading ReadingOf(const ProblemsOptions& options) {
  Reading reading;
  if (options.answer != "auto") {
    reading.place = ParseAnswerPlace(options.answer);
    reading.lenient = true;
  }
  if (options.format_reward != "auto") reading.form = ParseFormPay(options.format_reward);
  return reading;
}

Words WordsOf(const ProblemsOptions& options) {
  return options.words == "auto" ? Words::kNotation : ParseWords(options.words);
}

void AddScript(const ProblemsOptions& options, std::span<const Answer> answers,
               std::vector<Score>* scores) {
  if (options.script.empty()) return;
  for (size_t i = 0; i < answers.size(); ++i) {
    Score& score = (*scores)[i];
    if (score.failed) continue;
    const double share = ScriptShare(answers[i].completion, options.script);
    score.parts.emplace_back("script", share);
    score.value = (1 - options.script_weight) * score.value + options.script_weight * share;
  }
}

std::string InstructionOf(const ProblemsOptions& options) {
  if (options.answer == "auto") return "";
  // A file's problems are in words of their own.
  const bool chinese = options.file.empty() && WordsOf(options) == Words::kChinese;
  return std::string(AnswerInstruction(ParseAnswerPlace(options.answer),
                                       chinese ? Words::kChinese : Words::kEnglish));
}

}  // namespace darkhorse
