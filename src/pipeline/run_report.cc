#include "pipeline/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "infer/engine.h"
#include "model/cost.h"
#include "pipeline/loaded_model.h"
#include "pipeline/stage_recipe.h"
#include "report/data.h"
#include "report/parts.h"
#include "report/report.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

constexpr int64_t kSampleTokens = 128;

// A recipe as this program would read it; none if it was written by another version.
template <typename Recipe>
std::optional<Recipe> Parsed(const std::string& toml) {
  Recipe recipe;
  try {
    ParseToml(toml, "recipe.toml", FieldsOf(recipe));
  } catch (const Error&) {
    return std::nullopt;
  }
  return recipe;
}

std::optional<StagesRecipe> ParsedRun(const std::string& toml) {
  try {
    return ParseStagesRecipe({"recipe.toml", toml, {}});
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Of a run the first pretraining, the last reinforcement whose model goes back to it, and what
// measured their models. Names that a run without a recipe of this version has.
StageNames NamesIn(const std::string& run) {
  const std::string path = run + "/recipe.toml";
  const auto recipe = FileExists(path) ? ParsedRun(ReadFile(path, 1 << 20)) : std::nullopt;
  if (!recipe) return {"base", "reinforced", "base.json", "reinforced.json"};
  std::map<std::string, std::string> origins;  // of each stage's model the pretraining
  StageNames names;
  for (const StageRecipe& stage : recipe->stages) {
    const StageHead& head = stage.head;
    if (head.kind == "evaluate") {
      std::string& scores = head.from == names.pretraining ? names.before : names.after;
      if (head.from == names.pretraining || head.from == names.reinforcement)
        scores = head.name + ".json";
      continue;
    }
    if (head.kind == "sample") continue;
    origins[head.name] = head.kind == "pretrain" ? head.name : origins[head.from];
    if (head.kind == "pretrain" && names.pretraining.empty()) names.pretraining = head.name;
    if (head.kind == "reinforce" && origins[head.name] == names.pretraining) {
      names.reinforcement = head.name;
      names.after.clear();
    }
  }
  return names;
}

bool IsValid(const ModelConfig& config) {
  try {
    config.Validate();
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string DescribeModel(const ModelConfig& config) {
  const int64_t moe_layers =
      config.n_routed_experts > 0
          ? std::max<int64_t>(0, config.num_hidden_layers - config.first_k_dense_replace)
          : 0;
  const ModelCost cost(config);
  std::string text = fmt::format("{} parameters, {} of them active for a token: {} of width {}",
                                 FormatCount(static_cast<double>(cost.parameters())),
                                 FormatCount(static_cast<double>(cost.active_parameters())),
                                 Counted(config.num_hidden_layers, "layer"), config.hidden_size);
  if (moe_layers > 0) {
    text +=
        fmt::format(", {} of them with {} routed experts ({} chosen) and {} shared", moe_layers,
                    config.n_routed_experts, config.num_experts_per_tok, config.n_shared_experts);
  }
  return text + ".";
}

ReportOptions OptionsOf(const std::string& run, double price_per_core_hour) {
  return {.price_per_core_hour = price_per_core_hour,
          .stages = NamesIn(run),
          .describe_model = DescribeModelOf,
          .describe_corpus = DescribeCorpusOf};
}

}  // namespace

std::string DescribeModelOf(const std::string& pretrain_recipe) {
  const auto recipe = Parsed<PretrainRecipe>(pretrain_recipe);
  return recipe && IsValid(recipe->model) ? DescribeModel(recipe->model) : "";
}

std::string DescribeCorpusOf(const std::string& run_recipe) {
  const auto recipe = ParsedRun(run_recipe);
  if (!recipe) return "";
  const GeneratedCorpus& corpus = recipe->corpus;
  return fmt::format(
      "The corpus has {}: {} work a problem, {} are sheets of arithmetic, the rest "
      "guesses.",
      Counted(corpus.documents, "document"), Percent(corpus.shares.worked_share),
      Percent(corpus.shares.facts_share));
}

void WriteSampleText(const std::string& run, const std::string& checkpoint) {
  const LoadedModel loaded(checkpoint);
  const ModelConfig& config = loaded.config();
  if (DocumentStartToken(config) < 0 && config.eos_token_id < 0) return;  // nothing begins a text
  GenerationRequest request;
  request.prompt = loaded.PromptTokens("", /*special=*/false);
  request.max_tokens = kSampleTokens;
  request.stop_tokens = StopTokens(config);
  Engine engine(loaded.model(), loaded.weights(),
                {.slots = 1,
                 .capacity = CapacityFor(static_cast<int64_t>(request.prompt.size()), kSampleTokens,
                                         config.max_position_embeddings)});
  TextStream stream(loaded.tokenizer(), /*for_people=*/true);
  std::string text;
  const std::vector<Completion> completions = engine.Generate({request});
  for (const int32_t token : completions.front().tokens) text += stream.Next(token);
  WriteFileAtomically(run + "/" + kTextFile, text + stream.End());
}

std::string ReportRun(const std::string& run, double price_per_core_hour) {
  return WriteReport(run, OptionsOf(run, price_per_core_hour));
}

std::string RunPage(const std::string& run) {
  return RenderReport(run, OptionsOf(run, ReportOptions().price_per_core_hour));
}

bool HasReport(const std::string& run) {
  const StageNames names = NamesIn(run);
  return std::ranges::any_of(std::vector{names.pretraining, names.reinforcement},
                             [&](const std::string& stage) {
                               const std::string path = run + "/" + stage + "/" + kMetricsFile;
                               return !stage.empty() && FileExists(path) && !ReadFile(path).empty();
                             });
}

std::string ReportRun(const std::string& run) {
  return ReportRun(run, ReportOptions().price_per_core_hour);
}

}  // namespace darkhorse
