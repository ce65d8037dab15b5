// A reward computed by a program of the user's, in any language: one JSON object a line in,
//   {"id": 7, "prompt": "…", "completion": "…", "answer": "…", "meta": …}
// one a line out,
//   {"id": 7, "score": 0.5, "answer": "5", "parts": {"answer": 0, "format": 1}}
// ("parts" and "answer", the one it read, may be left out)
// with 0 <= score <= 1 (ScoreOf). How its copies are run, limited and started again:
// sandbox/line_program.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sandbox/line_program.h"
#include "task/answer_place.h"
#include "task/task.h"

namespace darkhorse {

struct RewardRequest {
  std::string prompt, completion, answer;
  std::string meta = "null";  // JSON
};

// Sums of a program's round: ten times 0.1 is 0.9999999999999999. What lies this near to full marks
// is full marks, and the answer right.
inline constexpr double kFullMarksTolerance = 1e-6;

// The score that a program's number stands for: itself; 1 or 0 where it is beyond or short of full
// marks, or below 0, by at most the tolerance; nothing where it is farther from [0, 1] or not a
// number. The answer is right where this is 1.
std::optional<double> ScoreOf(double number);

class ExternalReward {
 public:
  // `command` is the shell's; `place`: where an answer is read that the program does not tell.
  // Nothing is started yet.
  ExternalReward(const std::string& command, const ProgramLimits& limits,
                 AnswerPlace place = AnswerPlace::kTags)
      : program_(command, limits), place_(place) {}

  // One score per request, in order; correct where it is 1. `parsed` is the answer that the program
  // sends, "" where it says that it read none; where it says nothing, what stands at the place.
  // Where it sends no part "format", that is whether the tags are in order. Where the program
  // failed, the score is `failed` and `why` says how (LineProgram::Ask). Empty lines, and lines
  // about samples that have been answered, are passed over. UsageError: meta that is not JSON.
  // Interruption.
  std::vector<Score> ScoreAll(std::span<const RewardRequest> requests,
                              const StopRequest& stop = {});

  int64_t failures() const { return program_.failures(); }  // samples that the program failed on
  std::string last_failure() const;                         // the `why` of the last one
  bool isolated() const { return program_.isolated(); }     // LineProgram::isolated

 private:
  LineProgram program_;
  AnswerPlace place_;
  size_t next_id_ = 0;  // an id comes once, so a late line fits no request
};

}  // namespace darkhorse
