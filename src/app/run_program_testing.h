// Tests only: the program as a function.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "app/app.h"
#include "app/output.h"

namespace darkhorse {

struct Outcome {
  int code = 0;
  std::string out, error;  // stdout, stderr
};

// `darkhorse` with these arguments, called as ./darkhorse.
inline Outcome CallProgram(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "./darkhorse");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = RunProgram(static_cast<int>(argv.size()), argv.data());
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.error = testing::internal::GetCapturedStderr();
  return outcome;
}

// What it prints with --json, which is added.
inline Json JsonOf(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const Outcome outcome = CallProgram(arguments);
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  return Json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
}

}  // namespace darkhorse
