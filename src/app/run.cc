// `darkhorse run`: corpus, tokenizer, shards, base model, evaluation, reinforcement learning,
// evaluation. Every stage is a file in the run directory and is skipped where that file is there;
// one that was interrupted goes on.
#include <chrono>

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/loaded_model.h"
#include "app/output.h"
#include "app/report.h"
#include "app/run_recipe.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "checkpoint/run_directory.h"
#include "data/prepare.h"
#include "rl/own_problems.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

constexpr char kBos[] = "<|begin|>";
constexpr char kEos[] = "<|end|>";
constexpr int64_t kTokenizerDocuments = 20000;  // plenty for a closed vocabulary
constexpr uint64_t kEvaluationSeed =
    20250122;  // fixed: the same samples are drawn before and after

// The default pattern with numbers cut into groups of up to `digits` digits.
std::string SplitPattern(int64_t digits) {
  std::string pattern = kDefaultSplitPattern;
  const std::string number = "|\\p{N}|";
  const size_t at = pattern.find(number);
  CHECK(at != std::string::npos);
  return pattern.replace(at, number.size(), fmt::format("|\\p{{N}}{{1,{}}}|", digits));
}

Json ReadMeasurement(const std::string& path) {
  try {
    return Json::parse(ReadFile(path));
  } catch (const Json::exception&) {
    Fail("{}: is damaged; remove it, and it is measured again", path);
  }
}

struct RunArguments {
  RecipeArguments recipe;
  std::string out;
  bool resume = false;  // for who expects it: a run always goes on
  bool json = false;
};

class Stages {
 public:
  Stages(const RunRecipe& recipe, const std::string& out, bool json)
      : recipe_(recipe), out_(out), json_(json), mix_(recipe.corpus.Mix()) {}

  bool Run(Json* result) {
    const RunLock lock(out_);
    std::vector<std::string> written = {"data", "base", "base.json", "reinforced",
                                        "reinforced.json"};
    written.insert(written.end(), kCommandFiles.begin(), kCommandFiles.end());
    RecordRecipe(out_, ToToml(recipe_), /*goes_on=*/true, written);
    try {
      Tokenize();
      Prepare();
      const std::string base = PretrainBase();
      (*result)["base"] = Measure(base, "base");
      const std::string policy = ReinforceBase(base);
      (*result)["reinforced"] = Measure(policy, "reinforced");
      (*result)["model"] = policy;
      return true;
    } catch (const Interruption&) {
      return false;
    }
  }

 private:
  std::string Path(const std::string& name) const { return out_ + "/" + name; }

  void Tokenize() {
    if (FileExists(Path("tokenizer.json"))) return Note("the tokenizer is there already");
    Note("training the tokenizer");
    int64_t index = 0;
    TokenizerTrainOptions options;
    options.vocab_size = static_cast<int32_t>(recipe_.vocab_size);
    options.pattern = SplitPattern(recipe_.digits_per_token);
    options.special_tokens = {kBos, kEos, "<think>", "</think>", "<answer>", "</answer>"};
    const Tokenizer tokenizer = TrainTokenizer(
        [&](std::string* text) {
          if (index == std::min(kTokenizerDocuments, recipe_.corpus.documents)) return false;
          *text = CorpusDocument(mix_, recipe_.corpus.seed, static_cast<uint64_t>(index++));
          return true;
        },
        options);
    WriteFileAtomically(Path("tokenizer.json"), tokenizer.ToJson());
  }

  void Prepare() {
    if (FileExists(Path("data/" + std::string(kTrainShard))))
      return Note("the corpus is there already");
    Note("writing the corpus");
    StatusLine status;
    PrepareOptions options;
    options.bos_token = kBos;
    options.eos_token = kEos;
    options.recognise_special = true;  // the corpus' own tags
    const auto make = [&](uint64_t index, std::string* document) {
      LeaveIfInterrupted();
      *document = CorpusDocument(mix_, recipe_.corpus.seed, index);
      return true;
    };
    PrepareGenerated(make, recipe_.corpus.documents, Tokenizer::Load(Path("tokenizer.json")),
                     options, Path("data"), [&](const PrepareProgress& p) {
                       status.Show(fmt::format("{:.0f} % · {} tokens", 100 * p.fraction,
                                               FormatCount(static_cast<double>(p.tokens))));
                     });
  }

  std::string PretrainBase() {
    Note("pretraining the base model");
    PretrainView view(recipe_.pretrain.train.steps);
    const PretrainResult result =
        Pretrain(recipe_.pretrain, Path("data"), Path("base"), /*resume=*/true, view.Callbacks());
    if (!result.finished) throw Interruption();
    return result.checkpoint;
  }

  std::string ReinforceBase(const std::string& base) {
    Note("reinforcement learning");
    ReinforceView view(recipe_.reinforce.rl.steps);
    const ReinforceResult result =
        Reinforce(recipe_.reinforce, base, Path("reinforced"), /*resume=*/true, view.Callbacks());
    if (!result.finished) throw Interruption();
    // The last checkpoint, not the best: best/ was chosen on the very problems that it would be
    // measured on.
    return result.checkpoint;
  }

  Json Measure(const std::string& model_directory, const std::string& name) {
    const std::string path = Path(name + ".json");
    if (FileExists(path)) {
      Note(fmt::format("the {} model is measured already", name));
      return ReadMeasurement(path);
    }
    Note(fmt::format("measuring the {} model on held-out problems", name));
    const LoadedModel loaded(model_directory);
    const ReinforceOptions& rl = recipe_.reinforce.rl;
    const std::unique_ptr<Environment> environment =
        MakeEnvironment(rl.tasks, recipe_.reinforce.problems, Note, Interrupted);
    std::vector<Sample> samples;
    std::vector<Problem> problems;
    Json json = Json::array();
    EvaluationOptions options;
    options.problems = recipe_.evaluate_problems;
    options.samples = recipe_.evaluate_samples;
    options.max_tokens = rl.max_tokens;
    options.slots = rl.slots;
    options.seed = kEvaluationSeed;
    for (const TaskEvaluation& evaluation :
         Evaluate(loaded.model(), loaded.weights(), loaded.tokenizer(), *environment, options,
                  Interrupted, &samples, &problems)) {
      Note(fmt::format("{}: {}", name, Describe(evaluation)));
      json.push_back(ToJson(evaluation));
    }
    if (const ScoringFaults faults = environment->TakeFaults(); faults.samples > 0) {
      Note(DescribeFaults(faults));
      json.front()["reward_program_failures"] = faults.samples;
    }
    for (size_t i = 0; i < 3 && i < problems.size() && !json_; ++i) {
      const Sample& sample = samples[i * static_cast<size_t>(recipe_.evaluate_samples)];
      PrintText(fmt::format("--- a thought of the {} model: {}\n{}{}\n", name, sample.score.why,
                            problems[i].prompt, sample.text));
    }
    WriteFileAtomically(path, json.dump());
    return json;
  }

  const RunRecipe& recipe_;
  std::string out_;
  bool json_;  // then stdout holds one object and nothing else
  CorpusMix mix_;
};

// Two measurements of the same tasks side by side, figure by figure.
Json BeforeAndAfter(const Json& base, const Json& reinforced) {
  Json all = Json::object();
  for (size_t i = 0; i < base.size() && i < reinforced.size(); ++i) {
    Json& task = all[TaskName(base[i])];
    for (const auto& [name, value] : base[i].items()) {
      if (!value.is_number_float() || !reinforced[i].contains(name)) continue;
      task[name] =
          fmt::format("{:.3f} -> {:.3f}", value.get<double>(), reinforced[i][name].get<double>());
    }
  }
  return all;
}

Json ForPeople(Json result) {
  if (result.contains("base") && result.contains("reinforced")) {
    result["base -> reinforced"] = BeforeAndAfter(result["base"], result["reinforced"]);
    result["ask it"] =
        fmt::format("{} chat --model {}", ProgramName(), result["model"].get<std::string>());
  }
  result.erase("base");
  result.erase("reinforced");
  return result;
}

void Run(const RunArguments& arguments) {
  const RunRecipe recipe = ReadRunRecipe(arguments.recipe);
  CatchInterrupts();
  Json result{{"run", arguments.out}};
  const bool finished = Stages(recipe, arguments.out, arguments.json).Run(&result);
  if (!finished) Note("the same command goes on with it");
  result["finished"] = finished;
  if (FileExists(arguments.out + "/base/checkpoints"))
    result["report"] = WriteReport(arguments.out);
  PrintResult(arguments.json ? result : ForPeople(result), arguments.json);
}

}  // namespace

void RegisterRun(Command app) {
  Command command = app.AddCommand(
      "run", "Make a reasoning model from nothing: corpus, base model, reinforcement learning");
  const auto arguments = std::make_shared<RunArguments>();
  arguments->recipe.Register(command);
  command.Add("--out", arguments->out, "run directory; finished stages in it are kept").Required();
  command.Add("--resume", arguments->resume,
              "as always: finished stages are kept, an interrupted one goes on, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer("Fields of a recipe, with their defaults:\n\n" + FieldsHelp<RunRecipe>());
  command.Runs([arguments] { Run(*arguments); });
}

}  // namespace darkhorse
