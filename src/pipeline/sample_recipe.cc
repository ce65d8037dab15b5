#include "pipeline/sample_recipe.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "pipeline/run_format.h"
#include "rl/environment.h"

namespace darkhorse {

SamplingParams SampleOptions::sampling() const {
  SamplingParams params;
  params.temperature = static_cast<float>(temperature);
  params.top_p = static_cast<float>(top_p);
  return params;
}

void ListFields(SampleOptions& o, FieldList& list) {
  list.Add("writer", o.writer,
           "who answers: the model; or traces: built-in tasks worked by the generator of the "
           "corpus until the answer is found, in the model's tokens");
  list.Add("tasks", o.tasks,
           "built-in tasks to ask: \"name:level\" or \"name:level=weight\"; problems.file in "
           "their place");
  list.Add("problems", o.problems,
           fmt::format("how many; 0: all of a file but those held out, or {} of the built-in tasks",
                       kTaskProblems));
  list.Add("samples", o.samples, "answers to each problem");
  list.Add("max_tokens", o.max_tokens, "longest answer");
  list.Add("temperature", o.temperature, "of the samples; 0: the most probable token");
  list.Add("top_p", o.top_p, "keep the smallest set of the most probable tokens of this mass");
  list.Add("slots", o.slots, "sequences generated at once");
  list.Add("problems_at_once", o.problems_at_once,
           "problems between two writes, which is what a kill costs; changes nothing else");
  list.Add("weights", o.weights,
           fmt::format("number format of the teacher's weights: {}; auto: as the run that it lies "
                       "in trained them, else as its files hold them",
                       fmt::join(RunFormatNames(), ", ")));
  list.Add("served_model", o.served_model,
           "of a teacher behind a URL: the model's name there; empty: the first that it has");
  list.Add("key_file", o.key_file,
           "of a teacher behind a URL: a file with the key to send; empty: none");
  list.Add("seed", o.seed, "of problems and answers");
  list.Add("keep", o.keep, "of a problem's right answers, the first so many that pass the filters");
  list.Add("strict", o.strict,
           "right is an answer at its place alone; false: one that is found anywhere, too");
  list.Add("min_length", o.min_length, "shortest answer kept, in tokens, its end mark included");
  list.Add("max_length", o.max_length, "longest answer kept; 0: any");
  list.Add("script_share", o.script_share,
           "least share of an answer's letters that is of problems.script, where one is named");
}

void ListFields(SampleRecipe& r, FieldList& list) {
  list.Section("sample", r.sample, "what is asked, and what is kept of the answers");
  list.Section("problems", r.problems, "problems of your own, and how answers are scored");
  list.Section("prompt", r.prompt, "how the teacher is asked");
}

void Validate(const SampleRecipe& r) {
  const SampleOptions& o = r.sample;
  constexpr int64_t kMost = int64_t{1} << 31;
  for (const auto& [name, value, low] : {std::tuple{"problems", o.problems, int64_t{0}},
                                         {"samples", o.samples, int64_t{1}},
                                         {"max_tokens", o.max_tokens, int64_t{1}},
                                         {"slots", o.slots, int64_t{1}},
                                         {"problems_at_once", o.problems_at_once, int64_t{1}},
                                         {"keep", o.keep, int64_t{1}},
                                         {"min_length", o.min_length, int64_t{0}},
                                         {"max_length", o.max_length, int64_t{0}}}) {
    if (value < low || value > kMost)
      FailUsage("sample.{} is {}; it must be from {} to 2^31", name, value, low);
  }
  if (o.max_length > 0 && o.max_length < o.min_length) {
    FailUsage("sample.max_length is {}, below sample.min_length, which is {}", o.max_length,
              o.min_length);
  }
  if (!(o.script_share >= 0 && o.script_share <= 1))
    FailUsage("sample.script_share is {}; it must be in [0, 1]", o.script_share);
  if (!(o.temperature >= 0 && o.temperature <= 100))
    FailUsage("sample.temperature is {}; it must be in [0, 100]", o.temperature);
  if (!(o.top_p > 0 && o.top_p <= 1))
    FailUsage("sample.top_p is {}; it must be in (0, 1]", o.top_p);
  if (std::ranges::count(RunFormatNames(), o.weights) == 0) {
    FailUsage("sample.weights is '{}'; it must be one of {}", o.weights,
              fmt::join(RunFormatNames(), ", "));
  }
  if (o.tasks.empty() == r.problems.file.empty()) {
    FailUsage(
        "{}; name built-in tasks (sample.tasks) or a file of problems (problems.file)",
        o.tasks.empty() ? "nothing to ask" : "problems of built-in tasks and of a file at once");
  }
  if (!o.tasks.empty()) CheckTasks(o.tasks, "sample.tasks");
  if (o.writer != "model" && o.writer != "traces")
    FailUsage("sample.writer is '{}'; it must be model or traces", o.writer);
  if (o.writer == "traces" && o.tasks.empty())
    FailUsage("sample.writer is traces, which work built-in tasks alone: name some (sample.tasks)");
  Validate(r.problems);
  Validate(r.prompt);
}

}  // namespace darkhorse
