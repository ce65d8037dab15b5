// Live views of long runs: one status line on stderr.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/output.h"
#include "rl/log.h"
#include "rl/reinforce.h"
#include "train/pretrain.h"

namespace darkhorse {

// Names in a run's folder that the commands write beside what the libraries do.
inline const std::vector<std::string> kCommandFiles = {"tokenizer.json", "report.html", "figures",
                                                       "tensorboard"};

// The peak that GFLOP/s are compared with, measured once a process.
double PeakGflops();

class PretrainView {
 public:
  explicit PretrainView(int64_t steps);
  PretrainCallbacks Callbacks();

 private:
  void Show(const StepMetrics& metrics);
  int64_t steps_;
  int64_t measured_steps_ = 0;
  double measured_seconds_ = 0;
  StatusLine status_;
};

class ReinforceView {
 public:
  explicit ReinforceView(int64_t steps) : steps_(steps) {}
  ReinforceCallbacks Callbacks();

 private:
  void Show(const ReinforceMetrics& metrics);
  void ShowEvaluation(const ReinforceMetrics& metrics);
  int64_t steps_;
  int64_t measured_steps_ = 0;
  double measured_seconds_ = 0;
  int64_t faults_ = 0, faults_told_ = 0;  // of the reward program
  StatusLine status_;
};

// "3 samples could not be scored; the last: the reward program …"
std::string DescribeFaults(const ScoringFaults& faults);

// "countdown level 1: pass@1 0.42 ±0.04, pass@4 0.71, …"
std::string Describe(const TaskEvaluation& evaluation);

}  // namespace darkhorse
