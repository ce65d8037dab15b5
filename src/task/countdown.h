// What countdown's traces are made of: attempts, each one candidate expression worked step by step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "task/task.h"

namespace darkhorse {

struct CountdownLevel {
  int count;           // numbers given
  int64_t max_number;  // each in 1 … max_number
  int64_t max_target;  // target in 1 … max_target
  bool divide;         // attempts may divide (answers always may)
  int64_t max_value;   // of any step of an attempt
};

struct Step {
  int64_t left;
  char op;
  int64_t right;
  int64_t result;
};

struct Attempt {
  std::vector<Step> steps;
  std::string expression;  // as an answer: (3+5)*7
  int64_t value = 0;
};

const CountdownLevel& LevelOf(const Problem& problem);
Attempt RandomAttempt(const Problem& problem, RandomSequence& random);
Attempt FindSolution(const Problem& problem);
// Every attempt once, told apart by its expression.
std::vector<Attempt> AllAttempts(const Problem& problem);
// "3+5=8*7=56", or "3+5=8 9-8=1" where the result before is not the next left operand.
std::string StepsText(const std::vector<Step>& steps);

}  // namespace darkhorse
