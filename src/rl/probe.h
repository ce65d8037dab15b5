// Before hours of reinforcement learning: is there anything to learn from, how long will it take,
// does it fit? A sample of training problems, tried by the model as it is. Nothing of the run is
// touched: problems and samples come from another seed.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "rl/evaluate.h"
#include "rl/recipe.h"
#include "rl/teacher.h"
#include "train/trained_model.h"

namespace darkhorse {

// A task at a level, or a file.
struct PartProbe {
  std::string name;
  double weight = 1;
  TaskEvaluation evaluation;  // group_size samples a problem
  double pass_at_group = 0;   // problems solved by one of their samples at least
  double prompt_length = 0;   // tokens, mean
  double answered = 0;        // completions with an answer: Score::parsed
  int64_t signal_groups = 0;  // groups whose rewards differ, out of evaluation.problems
  std::string cause, cure;    // what stands in the way, and what to change; "": nothing
};

struct ProbeReport {
  std::vector<PartProbe> parts;
  bool hopeless = false;  // no group of any part has a signal
  bool scoring_can_fail = false;
  ScoringFaults faults;               // of the samples
  std::vector<std::string> findings;  // one line each: what stands in the way and what to change
  double tokens_per_second = 0;       // generated and scored
  double training_flops_per_second = 0;
  double seconds = 0;          // of the whole run, if completions stay as long as they are
  double seconds_longest = 0;  // if all grow to rl.max_tokens
  int64_t memory_bytes = 0;
};

// teacher: of on-policy distillation, or null. Interruption.
ProbeReport Probe(const ReinforceRecipe& recipe, TrainedModel& trained,
                  const ModelWeights& packed_weights, const Teacher* teacher,
                  const Prompter& prompter, Environment& environment, const StopRequest& stop);

// What can be said from the counts alone: fills cause and cure of the parts, findings and hopeless.
void Diagnose(const ReinforceRecipe& recipe, ProbeReport* report);

// Bytes of a run of such a model in training, whose longest prompt has `prompt` tokens and whose
// largest part has `held_out` problems to evaluate on: the state, activations, reference, the table
// of rotations, key/value cache.
int64_t ReinforceMemory(const ReinforceRecipe& recipe, const ModelConfig& config,
                        const TrainedBytes& trained, Activations activations, int64_t prompt,
                        int64_t held_out);

// For people, a line each: every part, speed and cost, findings.
std::vector<std::string> DescribeProbe(const ProbeReport& report);
nlohmann::ordered_json ToJson(const ProbeReport& report);

}  // namespace darkhorse
