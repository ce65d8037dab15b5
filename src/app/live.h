// Live views of long runs: one status line on stderr.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/output.h"
#include "pipeline/sampling.h"
#include "rl/log.h"
#include "rl/reinforce.h"
#include "train/finetune.h"
#include "train/pretrain.h"

namespace darkhorse {

// The peak that GFLOP/s are compared with, measured once a process.
double PeakGflops(Format format = Format::kF32);

// How long the rest takes at the mean speed so far.
class Pace {
 public:
  void AddStep(double seconds) { ++steps_, seconds_ += seconds; }
  void AddSeconds(double seconds) { seconds_ += seconds; }  // of work between steps
  double SecondsFor(int64_t steps) const {
    return static_cast<double>(steps) * seconds_ / static_cast<double>(steps_);
  }

 private:
  int64_t steps_ = 0;
  double seconds_ = 0;
};

// The status line after a step of `steps`: what matters most first, for a terminal leaves out the
// last of what it has no room for.
std::string StepText(const StepMetrics& metrics, int64_t steps, double eta_seconds,
                     double peak_gflops);
std::string StepText(const ReinforceMetrics& metrics, int64_t steps, double eta_seconds);
// The same of an evaluation: "sample 12/2048 · 3456 tokens generated".
std::string ProgressText(const EvaluationProgress& progress);

class PretrainView {
 public:
  // `format`: of the products, whose peak the speed is a share of.
  PretrainView(int64_t steps, Format format);
  PretrainCallbacks Callbacks();
  void Show(const StepMetrics& metrics);  // and tells of its evaluation, where it had one

 private:
  int64_t steps_;
  Format format_;
  Pace pace_;
  StatusLine status_;
};

class FinetuneView {
 public:
  explicit FinetuneView(Format format) : format_(format) {}
  FinetuneCallbacks Callbacks();

 private:
  Format format_;
  std::optional<PretrainView> view_;  // once the number of steps is known
};

class ReinforceView {
 public:
  explicit ReinforceView(int64_t steps, Teller note = Note)
      : steps_(steps), note_(std::move(note)) {}
  ReinforceCallbacks Callbacks();
  void Show(const ReinforceMetrics& metrics);
  void ShowEvaluation(const ReinforceMetrics& metrics);

 private:
  int64_t steps_;
  Teller note_;
  Pace pace_;
  int64_t faults_ = 0, faults_told_ = 0;  // of the reward program
  StatusLine status_;
};

class SampleView {
 public:
  explicit SampleView(Teller note = Note) : note_(std::move(note)) {}
  SampleCallbacks Callbacks();

 private:
  void Show();

  Teller note_;
  std::string text_, tokens_;
  StatusLine status_;
};

// "3 samples could not be scored; the last: the reward program …"
std::string DescribeFaults(const ScoringFaults& faults);

// "countdown level 1: pass@1 0.42 ±0.04, pass@4 0.71, …"
std::string Describe(const TaskEvaluation& evaluation);

}  // namespace darkhorse
