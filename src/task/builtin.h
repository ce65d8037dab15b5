// The built-in tasks, one file each.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "task/task.h"

namespace darkhorse {

std::unique_ptr<Task> MakeCountdown();
std::unique_ptr<Task> MakeSum();
std::unique_ptr<Task> MakeMultiply();
std::unique_ptr<Task> MakeSolve();
std::unique_ptr<Task> MakeGcd();
std::unique_ptr<Task> MakeBase();
std::unique_ptr<Task> MakeSort();
std::unique_ptr<Task> MakeParity();
std::unique_ptr<Task> MakeTimes();
std::unique_ptr<Task> MakeLargest();
std::unique_ptr<Task> MakeCount();
std::unique_ptr<Task> MakePlusMinus();

// `step` with its last digit or letter replaced by another of its kind: a slip of the pen.
std::string Miswrite(std::string_view step, RandomSequence& random);

// A task whose answer is one integer, held in Problem::target.
class IntegerTask : public Task {
 protected:
  Verdict Judge(std::string_view answer, const Problem& problem, std::string& why) const override;
  Verdict JudgeFree(std::string_view answer, const Problem& problem,
                    std::string& why) const override;
  LastResort Last() const override { return LastResort::kNumber; }
};

}  // namespace darkhorse
