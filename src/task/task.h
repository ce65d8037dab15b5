// Verifiable problems. A task is two pure functions: Make (coordinates -> problem) and
// ScoreCompletion (text, problem -> reward in [0, 1]). Nothing here holds state, so a run resumes
// from its coordinates alone. See docs/tasks.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"

namespace darkhorse {

struct Problem {
  std::string task;
  int level = 1;  // 0: the problem came from a file, which has no levels
  uint64_t seed = 0;
  uint64_t index = 0;
  std::string prompt;            // ends with a newline; the completion starts with <think>
  std::string answer;            // a reference answer; for some tasks one of many
  std::vector<int64_t> numbers;  // what the scorer needs; each task says how it uses them
  int64_t target = 0;
  std::string meta =
      "null";         // JSON for the user's verifier: the other columns of a row from a file
  std::string where;  // "problems.jsonl:12" for a row from a file
};

// A correct answer is worth 1. A well-formed completion whose answer is legal but wrong is worth
// this.
inline constexpr double kFormatCredit = 0.1;

// An answer read wherever it stands in a completion (task/answer_place.h).
struct LenientScore {
  bool correct = false;
  std::string parsed, canonical;  // as a Score's
  std::string place;              // where it stood: "boxed", "last_number", …
};

struct Score {
  double value = 0;  // [0, 1]: 1 if correct, kFormatCredit if only well-formed, else 0
  bool correct = false;
  std::vector<std::pair<std::string, double>> parts;  // "answer" and "format", each 0 or 1
  std::string parsed;     // the answer text that was judged; empty if there was none
  std::string canonical;  // the one spelling of all answers that are the same as it; empty where
                          // the scorer knows none: then only the same text is
  std::string why;        // one line: the reason for the value
  bool failed = false;    // its scorer did not do its work: the value is 0 and says nothing
  // What a lenient reading finds, of which the rest says nothing; none: its scorer has one reading.
  std::optional<LenientScore> lenient = {};
};

// What a scorer says of the text of one answer.
struct AnswerVerdict {
  bool legal = false;     // it has the form that is asked for
  bool correct = false;   // and is right
  std::string canonical;  // Score::canonical
  std::string why;        // one line
};

// Where an answer is looked for that stands at no place.
enum class LastResort { kNumber, kLetter, kLine };

// How the answers to one problem are judged: by a task, or by a rule and a reference. Pure; `judge`
// takes any text, trimmed.
struct AnswerJudge {
  std::function<AnswerVerdict(std::string_view)> judge;
  LastResort last_resort = LastResort::kLine;
};

// How worked traces of the pretraining corpus look (docs/tasks.md).
struct TraceStyle {
  // After each failed attempt (or step) a trace gives up with a probability drawn once per trace
  // from this list, each entry equally likely. A trace that gives up answers with its last attempt,
  // or a guess.
  std::vector<double> give_up = {0.03, 0.2, 0.5, 0.5, 0.5};
  int max_attempts = 30;   // give up at the latest after so many
  double ordered = 0.3;    // countdown: share of traces that go through the attempts in a fixed
                           // order, not at random
  double straight = 0.02;  // share of traces whose first attempt is right
  double check = 0.1;      // share of traces that work a found result twice before they say yes
  double slip = 0.01;      // probability that a step is first written wrong, noticed and corrected
};

// How a problem is put into words: as this program's own models read it, or for published ones.
enum class Words { kNotation, kEnglish, kChinese };
std::vector<std::string> WordsNames();    // "notation", "english", "chinese"
Words ParseWords(std::string_view name);  // UsageError that names the nearest

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string Name() const = 0;
  // One paragraph for people, also usable as an instruction to a model that has never seen the
  // task.
  virtual std::string Help() const = 0;
  virtual int Levels() const = 0;  // levels are 1 … Levels(), harder and harder
  // Pure function of its arguments. Throws UsageError for a level outside 1 … Levels().
  Problem Make(uint64_t seed, uint64_t index, int level) const;
  // Pure, in time linear in the completion. Never throws, whatever the text.
  Score ScoreCompletion(std::string_view completion, const Problem& problem) const;
  // The problem's prompt in these words; ends with a newline. Its key is that of its notation.
  std::string Worded(const Problem& problem, Words words) const;
  // How answers are judged alone, wherever they stand: as a published model writes them, `1,234`
  // and `x = 5` where this program's own write `1234` and `5`. The problem must outlive it.
  AnswerJudge JudgeOf(const Problem& problem) const;
  // A completion that scores 1.
  std::string Oracle(const Problem& problem) const;
  // One pretraining document after the prompt: thoughts of varied length and an answer that is
  // often wrong.
  virtual std::string WorkedTrace(const Problem& problem, const TraceStyle& style,
                                  RandomSequence& random) const;
  // A random answer in legal syntax: the guess of someone who does not work the problem.
  virtual std::string Guess(const Problem& problem, RandomSequence& random) const = 0;
  // Two problems with equal keys are the same problem for the train/held-out split. Wording and
  // order that do not change the solution are not part of the key.
  virtual std::string Key(const Problem& problem) const { return problem.prompt; }

 protected:
  // Fills prompt, answer, numbers and target; `level` is valid.
  virtual void Draw(int level, RandomSequence& random, Problem& problem) const = 0;
  // The problem as a sentence or several in English or Chinese, without an end of line.
  virtual std::string Sentence(const Problem& problem, Words words) const = 0;
  // Judges the text between the answer tags, trimmed and at most kMaxAnswerLength bytes.
  enum class Verdict { kIllegal, kWrong, kCorrect };
  virtual Verdict Judge(std::string_view answer, const Problem& problem,
                        std::string& why) const = 0;
  // The same of an answer as published models write it, and where it is looked for last.
  virtual Verdict JudgeFree(std::string_view answer, const Problem& problem,
                            std::string& why) const;
  virtual LastResort Last() const { return LastResort::kLine; }
  // The direct way from the problem to its answer, one step per line.
  virtual std::vector<std::string> Steps(const Problem& problem) const = 0;
};

// The built-in task of that name. Throws UsageError that names the nearest known one.
const Task& FindTask(std::string_view name);
std::vector<std::string> TaskNames();

// Train and held-out problems are disjoint by content: a problem is held out if the hash of its
// task and key is a multiple of 16, whatever its seed, index and level.
enum class Split { kTrain, kHeldOut };
Split SplitOf(const Task& task, const Problem& problem);
// Make, redrawn deterministically until the problem belongs to the split.
Problem MakeProblem(const Task& task, uint64_t seed, uint64_t index, int level, Split split);
// The first `count` distinct held-out problems of a level, the same for every run; fewer if the
// level has fewer.
std::vector<Problem> HeldOutProblems(const Task& task, int level, int count);

// A 64-bit hash of text, stable across machines and versions (FNV-1a with a final mix).
uint64_t StableHash(std::string_view text);

}  // namespace darkhorse
