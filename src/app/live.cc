#include "app/live.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/remote_teacher.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "base/parallel.h"
#include "kernel/peak.h"
#include "report/data.h"
#include "report/report.h"
#include "rl/log.h"

namespace darkhorse {

double PeakGflops(Format format) {
  if (format == Format::kBf16) {
    static const double peak = MeasurePeakGflops(NumThreads(), Format::kBf16);
    return peak;
  }
  static const double peak = MeasurePeakGflops(NumThreads());
  return peak;
}

PretrainView::PretrainView(int64_t steps, Format format) : steps_(steps), format_(format) {
  PeakGflops(format);
}

PretrainCallbacks PretrainView::Callbacks() {
  return {.on_step = [this](const StepMetrics& metrics) { Show(metrics); },
          .on_note = Note,
          .written = ReportFiles(),
          .stop = Interrupted};
}

std::string StepText(const StepMetrics& m, int64_t steps, double eta_seconds, double peak_gflops) {
  return fmt::format(
      "step {}/{} · ETA {} · loss {:.4f} · {} tokens/s · {:.2f} epochs · {:.0f} GFLOP/s ({:.0f} % "
      "of "
      "peak) · MaxVio {:.2f}",
      m.step, steps, FormatDuration(eta_seconds), m.loss, FormatCount(m.tokens_per_second),
      m.epochs, m.gflops, 100 * m.gflops / peak_gflops, m.max_violation);
}

void PretrainView::Show(const StepMetrics& m) {
  pace_.AddStep(m.seconds);
  status_.Show(StepText(m, steps_, pace_.SecondsFor(steps_ - m.step), PeakGflops(format_)));
  if (m.validation_loss < 0) return;
  Note(fmt::format("after step {}: held-out loss {:.4f}, perplexity {:.4g}, {:.2f} epochs", m.step,
                   m.validation_loss, std::exp(m.validation_loss), m.epochs));
}

FinetuneCallbacks FinetuneView::Callbacks() {
  return {.on_plan = [this](int64_t steps) { view_.emplace(steps, format_); },
          .on_step = [this](const StepMetrics& metrics) { view_->Show(metrics); },
          .on_start =
              [](double loss) {
                Note(fmt::format("before the first step: held-out loss {:.4f}, perplexity {:.4g}",
                                 loss, std::exp(loss)));
              },
          .on_note = Note,
          .written = ReportFiles(),
          .stop = Interrupted};
}

ReinforceCallbacks ReinforceView::Callbacks() {
  return {.on_step = [this](const ReinforceMetrics& metrics) { Show(metrics); },
          .on_evaluation = [this](const ReinforceMetrics& metrics) { ShowEvaluation(metrics); },
          .on_note = note_,
          .written = ReportFiles(),
          .stop = Interrupted};
}

std::string StepText(const ReinforceMetrics& m, int64_t steps, double eta_seconds) {
  std::string text = fmt::format("step {}/{} · ETA {}", m.step, steps, FormatDuration(eta_seconds));
  if (m.scored) text += fmt::format(" · accuracy {:.3f} · reward {:.3f}", m.accuracy, m.reward);
  if (m.faults.samples > 0) text += fmt::format(" · unscored {}", m.faults.samples);
  text += fmt::format(" · length {:.0f} · cut off {:.0f} % · no signal {:.0f} %", m.mean_length,
                      100 * m.clipped_ratio, 100 * m.frac_reward_zero_std);
  if (m.trained) text += fmt::format(" · entropy {:.2f}", m.entropy);
  return text + fmt::format(" · {} tokens/s", FormatCount(m.generated_per_second));
}

std::string ProgressText(const EvaluationProgress& p) {
  return fmt::format("sample {}/{} · {} generated", p.done, p.total, Counted(p.tokens, "token"));
}

void ReinforceView::Show(const ReinforceMetrics& m) {
  pace_.AddStep(m.sample_seconds + m.score_seconds + m.train_seconds);
  status_.Show(StepText(m, steps_, pace_.SecondsFor(steps_ - m.step)));
  // Told at first and when their number has doubled: a program that always fails fills no screens.
  faults_ += m.faults.samples;
  if (m.faults.samples > 0 && faults_ >= 2 * faults_told_) {
    faults_told_ = faults_;
    note_(fmt::format(
        "after step {}: {}; neither accuracy nor training counts them{}; {} in all since this "
        "command began",
        m.step, DescribeFaults(m.faults),
        m.trained ? "" : ", and from the others nothing was learned: mend the program", faults_));
  }
}

void ReinforceView::ShowEvaluation(const ReinforceMetrics& m) {
  const bool before = m.step == 0;  // and never again: no part of the pace
  if (!before) pace_.AddSeconds(m.evaluate_seconds);
  const std::string when = before ? "before the first step" : fmt::format("after step {}", m.step);
  const bool one = m.evaluation.size() == 1;  // then the mean over tasks is its own
  for (const TaskEvaluation& e : m.evaluation) {
    note_(fmt::format("{}: {}{}", when, Describe(e),
                      m.start && one
                          ? fmt::format("; before the first step pass@1 {:.3f}", m.start->value)
                          : ""));
  }
  if (m.start && !one) {
    note_(fmt::format("{}: held-out accuracy {:.3f}, before the first step {:.3f}", when,
                      MeanAccuracy(m.evaluation).value, m.start->value));
  }
  if (m.evaluation_faults.samples > 0)
    note_(fmt::format("in its evaluation {}", DescribeFaults(m.evaluation_faults)));
}

void SampleView::Show() {
  status_.Show(text_ + (text_.empty() || tokens_.empty() ? "" : " · ") + tokens_);
}

SampleCallbacks SampleView::Callbacks() {
  return {.on_progress =
              [this](const SampleProgress& p) {
                const double each = p.seconds / static_cast<double>(p.here);
                text_ = fmt::format(
                    "problem {}/{} · ETA {} · right {:.3f} · length {:.0f} · {} tokens/s", p.done,
                    p.problems, FormatDuration(each * static_cast<double>(p.problems - p.done)),
                    static_cast<double>(p.right) / static_cast<double>(p.samples),
                    static_cast<double>(p.tokens) / static_cast<double>(p.samples),
                    FormatCount(static_cast<double>(p.tokens) / p.seconds));
                Show();
              },
          .on_tokens =
              [this](int64_t tokens) {
                tokens_ = Counted(tokens, "token") + " generated";
                Show();
              },
          .on_note = note_,
          .on_faults = [this](const ScoringFaults& faults) { note_(DescribeFaults(faults)); },
          .teachers = {.connect = ConnectToServer},
          .stop = Interrupted};
}

std::string DescribeFaults(const ScoringFaults& faults) {
  return fmt::format("{} could not be scored; the last: {}", Counted(faults.samples, "sample"),
                     faults.last);
}

std::string Describe(const TaskEvaluation& e) {
  std::string text = TaskName(ToJson(e)) + ":";
  for (const auto& [k, interval] : e.pass_at_k) {
    if (k != 1 && k != e.samples) continue;
    text += fmt::format(" pass@{} {:.3f} ({:.3f}–{:.3f}),", k, interval.value, interval.low,
                        interval.high);
  }
  if (e.lenient) text += fmt::format(" leniently {:.3f},", e.lenient->pass_at_1.value);
  if (e.majority) text += fmt::format(" maj@{} {:.3f},", e.samples, e.majority->value);
  return text +
         fmt::format(" length {:.0f},{} cut off {:.0f} %", e.mean_length,
                     e.format_rate ? fmt::format(" format {:.0f} %,", 100 * *e.format_rate) : "",
                     100 * e.truncated_rate);
}

}  // namespace darkhorse
