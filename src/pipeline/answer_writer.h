// Who answers problems where answers are sampled: a model here, the generator of worked traces, or
// a server.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "pipeline/loaded_model.h"
#include "pipeline/rejection.h"
#include "pipeline/remote_teacher.h"
#include "pipeline/sample_recipe.h"
#include "rl/environment.h"
#include "rl/rollout.h"

namespace darkhorse {

// What is to be answered. All of it outlives the writer.
struct AnswerWork {
  const SampleRecipe& recipe;
  const ProblemsOptions& decided;  // the recipe's, with all that they leave to the model said
  const std::vector<Problem>& problems;
  Environment& environment;                         // of the problems
  std::function<void(const std::string&)> on_note;  // not null, as the next
  std::function<void(int64_t tokens)> on_tokens;    // generated: how many more
  StopRequest stop;
};

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual uint64_t Fingerprint() const = 0;
  // For a card: what it is called, and what tells it from others.
  virtual std::string Name() const = 0;
  virtual std::string Shown() const = 0;
  // The user's message of a problem.
  virtual std::string Worded(const Problem& problem) const = 0;
  // To be called before the first Answer. Error: it does not fit this machine.
  virtual void Prepare() {}
  // The answers to `count` of the work's problems from the number `first` on, as many to each as
  // the recipe says, problem by problem and scored. What is answered depends on a problem's number
  // alone. Interruption.
  virtual std::vector<WrittenAnswer> Answer(int64_t first, int64_t count) = 0;
};

// A model's own sample; its end mark is no part of what may repeat itself.
WrittenAnswer Written(Sample sample);

// Scores answers to the problems from the number `first` on, as Answer returns them. Interruption.
void ScoreAnswers(const AnswerWork& work, int64_t first, std::vector<WrittenAnswer>* answers);

// A model here, or traces in its tokens. UsageError: traces, which a model with a chat template
// cannot be asked for. Error: a prompt that leaves no room in its context.
std::unique_ptr<AnswerWriter> MakeModelWriter(const AnswerWork& work, OpenedModel opened);
std::unique_ptr<AnswerWriter> MakeTraceWriter(const AnswerWork& work, OpenedModel opened);
// The server at `url`. UsageError: what a server cannot be asked for.
std::unique_ptr<AnswerWriter> MakeRemoteWriter(const AnswerWork& work, const std::string& url,
                                               const RemoteTeachers& teachers);

}  // namespace darkhorse
