#include "task/task.h"

#include <algorithm>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/nearest_name.h"
#include "task/builtin.h"
#include "task/markup.h"
#include "task/number.h"
#include "task/rules.h"

namespace darkhorse {
namespace {

// Held-out problems are drawn from coordinates of their own, so that every run is measured on the
// same ones.
constexpr uint64_t kHeldOutSeed = 0x68656c646f7574;
constexpr uint64_t kHeldOutShare = 16;

const std::vector<std::unique_ptr<Task>>& Builtin() {
  static const auto* tasks = [] {
    auto* list = new std::vector<std::unique_ptr<Task>>;
    list->push_back(MakeCountdown());
    list->push_back(MakeSum());
    list->push_back(MakeMultiply());
    list->push_back(MakeSolve());
    list->push_back(MakeGcd());
    list->push_back(MakeBase());
    list->push_back(MakeSort());
    list->push_back(MakeParity());
    list->push_back(MakeTimes());
    list->push_back(MakeLargest());
    list->push_back(MakeCount());
    list->push_back(MakePlusMinus());
    return list;
  }();
  return *tasks;
}

uint64_t MixSeed(uint64_t seed, std::string_view what) { return seed ^ StableHash(what); }

}  // namespace

uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  // FNV's low bits mix poorly on short texts; MurmurHash3's finalizer.
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

std::vector<std::string> WordsNames() { return {"notation", "english", "chinese"}; }

Words ParseWords(std::string_view name) {
  const std::vector<std::string> known = WordsNames();
  const auto found = std::ranges::find(known, name);
  if (found != known.end()) return static_cast<Words>(found - known.begin());
  name = name.substr(0, 64);
  FailUsage("unknown words '{}'; there are {}{}", name, fmt::join(known, ", "),
            DidYouMean(name, known));
}

Problem Task::Make(uint64_t seed, uint64_t index, int level) const {
  if (level < 1 || level > Levels()) {
    FailUsage("task {}: there is no level {}; levels are 1 to {}", Name(), level, Levels());
  }
  Problem problem;
  problem.task = Name();
  problem.level = level;
  problem.seed = seed;
  problem.index = index;
  RandomSequence random(MixSeed(seed, fmt::format("{}:{}", Name(), level)), RandomStream::kTask,
                        index);
  Draw(level, random, problem);
  return problem;
}

Score Task::ScoreCompletion(std::string_view completion, const Problem& problem) const {
  Score score;
  const Extracted extracted = ExtractAnswer(completion);
  Verdict verdict = Verdict::kIllegal;
  if (!extracted.found) {
    score.why = extracted.why;
  } else if (extracted.answer.size() > kMaxAnswerLength) {
    score.why = fmt::format("the answer is longer than {} characters", kMaxAnswerLength);
  } else {
    score.parsed = extracted.answer;
    verdict = Judge(extracted.answer, problem, score.why);
  }
  const bool format = extracted.well_formed && verdict != Verdict::kIllegal;
  score.correct = verdict == Verdict::kCorrect;
  score.value = score.correct ? 1 : format ? kFormatCredit : 0;
  score.parts = {{"answer", score.correct ? 1.0 : 0.0}, {"format", format ? 1.0 : 0.0}};
  return score;
}

std::string Task::Worded(const Problem& problem, Words words) const {
  return words == Words::kNotation ? problem.prompt : Sentence(problem, words) + "\n";
}

Task::Verdict Task::JudgeFree(std::string_view answer, const Problem& problem,
                              std::string& why) const {
  return Judge(PlainMath(answer, /*without_variable=*/false), problem, why);
}

AnswerJudge Task::JudgeOf(const Problem& problem) const {
  const auto judge = [this, &problem](std::string_view answer) {
    AnswerVerdict verdict;
    if (answer.size() > kMaxAnswerLength) {
      verdict.why = fmt::format("the answer is longer than {} characters", kMaxAnswerLength);
      return verdict;
    }
    const Verdict told = JudgeFree(answer, problem, verdict.why);
    verdict.legal = told != Verdict::kIllegal;
    verdict.correct = told == Verdict::kCorrect;
    return verdict;
  };
  return {judge, Last()};
}

std::string Task::Oracle(const Problem& problem) const {
  std::string thoughts;
  for (const std::string& step : Steps(problem)) thoughts += step + "\n";
  return Completion(thoughts, problem.answer);
}

std::string Task::WorkedTrace(const Problem& problem, const TraceStyle& style,
                              RandomSequence& random) const {
  const double give_up =
      style.give_up.empty() ? 0 : style.give_up[random.Below(style.give_up.size())];
  const bool straight = random.Uniform() < style.straight;
  std::string thoughts;
  for (const std::string& step : Steps(problem)) {
    if (random.Uniform() < style.slip) thoughts += Miswrite(step, random) + " wait ";
    thoughts += step + "\n";
    if (!straight && random.Uniform() < give_up) {
      return Completion(thoughts, Guess(problem, random));
    }
  }
  return Completion(thoughts, problem.answer);
}

const Task& FindTask(std::string_view name) {
  for (const auto& task : Builtin()) {
    if (task->Name() == name) return *task;
  }
  const std::vector<std::string> known = TaskNames();
  name = name.substr(0, 64);
  if (const size_t colon = name.find(':');
      colon != name.npos && std::ranges::count(known, name.substr(0, colon)) > 0) {
    FailUsage("'{}' is a task and a level; give the level apart from it", name);
  }
  FailUsage("unknown task '{}'; there are {}{}", name, fmt::join(known, ", "),
            DidYouMean(name, known));
}

std::vector<std::string> TaskNames() {
  std::vector<std::string> names;
  for (const auto& task : Builtin()) names.push_back(task->Name());
  return names;
}

Split SplitOf(const Task& task, const Problem& problem) {
  const uint64_t hash = StableHash(task.Name() + "\n" + task.Key(problem));
  return hash % kHeldOutShare == 0 ? Split::kHeldOut : Split::kTrain;
}

Problem MakeProblem(const Task& task, uint64_t seed, uint64_t index, int level, Split split) {
  constexpr int kMaxDraws = 10000;
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    const uint64_t redrawn = draw == 0 ? seed : MixSeed(seed, fmt::format("redraw {}", draw));
    Problem problem = task.Make(redrawn, index, level);
    if (SplitOf(task, problem) == split) return problem;
  }
  Fail("task {} level {}: {} draws gave no {} problem; the task has too few distinct problems",
       task.Name(), level, kMaxDraws, split == Split::kTrain ? "training" : "held-out");
}

std::vector<Problem> HeldOutProblems(const Task& task, int level, int count) {
  std::vector<Problem> problems;
  std::set<std::string> seen;
  // A level with few problems repeats itself: stop once a long run of draws brings nothing new.
  constexpr int kPatience = 2000;
  int stale = 0;
  for (uint64_t index = 0; static_cast<int>(problems.size()) < count && stale < kPatience;
       ++index) {
    Problem problem = MakeProblem(task, kHeldOutSeed, index, level, Split::kHeldOut);
    stale = seen.insert(task.Key(problem)).second ? 0 : stale + 1;
    if (stale == 0) problems.push_back(std::move(problem));
  }
  return problems;
}

std::string Miswrite(std::string_view step, RandomSequence& random) {
  std::string text(step);
  const size_t at = text.find_last_of("0123456789");
  if (at == text.npos) return text;
  text[at] = static_cast<char>('0' + (text[at] - '0' + random.Between(1, 9)) % 10);
  return text;
}

Task::Verdict IntegerTask::Judge(std::string_view answer, const Problem& problem,
                                 std::string& why) const {
  const auto value = ParseInteger(answer);
  if (!value) {
    why = "the answer is not an integer";
    return Verdict::kIllegal;
  }
  why = *value == problem.target ? "right" : fmt::format("{} is wrong", *value);
  return *value == problem.target ? Verdict::kCorrect : Verdict::kWrong;
}

Task::Verdict IntegerTask::JudgeFree(std::string_view answer, const Problem& problem,
                                     std::string& why) const {
  const RuleVerdict verdict = Compare(Rule::kNumeric, answer, problem.answer);
  why = verdict.correct ? "right"
        : verdict.legal ? fmt::format("not {}", problem.answer)
                        : "the answer is not a number";
  return verdict.correct ? Verdict::kCorrect : verdict.legal ? Verdict::kWrong : Verdict::kIllegal;
}

}  // namespace darkhorse
