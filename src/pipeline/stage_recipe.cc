#include "pipeline/stage_recipe.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "base/nearest_name.h"
#include "base/toml_tables.h"

namespace darkhorse {
namespace {

using AnyRecipe = decltype(StageRecipe::recipe);

std::vector<std::string> KindNames() { return {std::begin(kStageKinds), std::end(kStageKinds)}; }

// The recipe of the kind with its defaults.
template <size_t index = 0>
AnyRecipe DefaultOf(size_t kind) {
  if constexpr (index < std::variant_size_v<AnyRecipe>) {
    if (kind == index) return AnyRecipe(std::in_place_index<index>);
    return DefaultOf<index + 1>(kind);
  }
  Fail("no such kind");  // the caller has looked
}

// A stage's fields as a document has them: the head's, then the recipe's, at the same level.
FieldList FieldsOf(StageRecipe& stage) {
  FieldList list;
  ListFields(stage.head, list);
  std::visit([&](auto& recipe) { ListFields(recipe, list); }, stage.recipe);
  return list;
}

// Gives the list's seed, or its precision, to a stage.
void Share(const StagesRecipe& all, bool seed, bool precision, StageRecipe* stage) {
  const auto share = [&](auto& options) {
    if (seed) options.seed = all.seed;
    if constexpr (requires { options.precision; }) {
      if (precision) options.precision = all.precision;
    }
  };
  if (auto* r = std::get_if<PretrainRecipe>(&stage->recipe)) share(r->train);
  if (auto* r = std::get_if<SampleRecipe>(&stage->recipe)) share(r->sample);
  if (auto* r = std::get_if<FinetuneRecipe>(&stage->recipe)) share(r->finetune);
  if (auto* r = std::get_if<ReinforceRecipe>(&stage->recipe)) share(r->rl);
  if (auto* r = std::get_if<DistilRecipe>(&stage->recipe)) {
    share(r->sampling.sample);
    share(r->finetuning.finetune);
  }
}

bool MakesModel(const StageRecipe& stage) {
  return !std::holds_alternative<SampleRecipe>(stage.recipe) &&
         !std::holds_alternative<MeasureRecipe>(stage.recipe);
}

// Of an override "NAME.field=value" for this stage the rest; none: it is not for it.
std::optional<std::string> Own(const std::string& override, const std::string& stage) {
  if (stage.empty() || !override.starts_with(stage + ".")) return std::nullopt;
  return override.substr(stage.size() + 1);
}

class Reader {
 public:
  explicit Reader(const RecipeText& text)
      : text_(text),
        parts_(SplitTables(text.toml, text.name, kStageArray)),
        used_(text.overrides.size(), false),
        why_unused_(text.overrides.size()) {}

  StagesRecipe Read(const std::function<void(ProblemsOptions*)>& set_problems) {
    RefuseNoRun(text_);
    FieldPlaces places(text_.name);
    const auto read = [&] {
      ParseToml(parts_.rest, text_.name, darkhorse::FieldsOf(all_), &places);
      for (size_t i = 0; i < text_.overrides.size(); ++i) {
        if (IsOfAStage(text_.overrides[i])) continue;
        SetField(darkhorse::FieldsOf(all_), text_.overrides[i], &places);
        used_[i] = true;
      }
    };
    read();
    // For what has none of its own; an override, also for what the text gives one.
    all_.corpus.seed = all_.seed;
    read();
    if (IsOverridden("seed") && !IsOverridden("corpus.seed")) all_.corpus.seed = all_.seed;
    AtPlaces(places, darkhorse::FieldsOf(all_), [&] {
      if (set_problems) set_problems(&all_.problems);
      Validate(all_);
    });
    for (const std::string& table : parts_.tables) ReadStage(table);
    for (size_t i = 0; i < all_.stages.size(); ++i) ReadEvaluation(parts_.tables[i], i);
    for (size_t i = 0; i < used_.size(); ++i) {
      if (used_[i]) continue;
      if (!why_unused_[i].empty()) throw UsageError(why_unused_[i]);
      RefuseHead(text_.overrides[i]);
      FailUsage(
          "setting {}: it begins with no stage's name or kind, as STAGE.section.field=value does; "
          "there are {} and the kinds {}",
          text_.overrides[i], fmt::join(Names(), ", "), fmt::join(KindNames(), ", "));
    }
    return std::move(all_);
  }

 private:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const StageRecipe& stage : all_.stages) {
      if (!std::ranges::count(names, stage.head.name)) names.push_back(stage.head.name);
    }
    return names;
  }

  bool IsOverridden(std::string_view field) const {
    return std::ranges::any_of(text_.overrides, [&](const std::string& override) {
      return override.substr(0, override.find_first_of(" =")) == field;
    });
  }

  // Not of the list's own fields.
  bool IsOfAStage(const std::string& override) {
    const std::string first = override.substr(0, override.find_first_of(".= "));
    const FieldList own = darkhorse::FieldsOf(all_);
    return !own.Find(first) && !own.IsSection(first) && override.find('.') < override.find('=');
  }

  void ReadStage(const std::string& table) {
    const std::string place = fmt::format("{}: stage {}", text_.name, all_.stages.size() + 1);
    StageRecipe stage;
    stage.head.kind = TomlText(table, text_.name, "kind");
    const std::vector<std::string> kinds = KindNames();
    const auto kind = std::ranges::find(kinds, stage.head.kind);
    if (kind == kinds.end()) {
      FailUsage("{}: its kind is '{}'; there are {}{}", place, stage.head.kind,
                fmt::join(kinds, ", "), DidYouMean(stage.head.kind, kinds));
    }
    stage.recipe = DefaultOf(static_cast<size_t>(kind - kinds.begin()));
    Share(all_, /*seed=*/true, /*precision=*/true, &stage);
    const Asking asking = AskingOf(stage);
    if (asking.problems) *asking.problems = all_.problems, *asking.prompt = all_.prompt;
    FieldPlaces places(place);
    ParseToml(table, text_.name, FieldsOf(stage), &places);
    Share(all_, IsOverridden("seed"), IsOverridden("precision"), &stage);
    if (asking.problems && asking.problems->file == all_.problems.file &&
        !all_.problems.file.empty())
      asking.tasks->clear();
    NameIt(place, &stage);
    Override(&stage, &places);
    CheckHead(place, stage);
    if (auto* pretraining = std::get_if<PretrainRecipe>(&stage.recipe);
        pretraining && stage.head.data.empty())
      pretraining->model.vocab_size = all_.vocab_size;
    if (!std::holds_alternative<MeasureRecipe>(stage.recipe)) ValidateStage(places, &stage);
    all_.stages.push_back(std::move(stage));
  }

  // An evaluation, once all stages are known: it may be of what one behind it works on.
  void ReadEvaluation(const std::string& table, size_t index) {
    StageRecipe& stage = all_.stages[index];
    auto* own = std::get_if<MeasureRecipe>(&stage.recipe);
    if (!own) return;
    const bool says_none = own->tasks.empty() && own->problems.file == all_.problems.file;
    const ReinforceRecipe* practised = says_none ? PractisedAround(index) : nullptr;
    FieldPlaces places(fmt::format("{}: stage {}", text_.name, index + 1));
    if (practised) {
      *own = {practised->problems.file.empty() ? practised->rl.tasks : std::vector<std::string>{},
              {},
              practised->problems,
              practised->prompt};
      own->evaluation.max_tokens = practised->rl.max_tokens;
      own->evaluation.slots = practised->rl.slots;
    }
    const StageHead head = stage.head;
    ParseToml(table, text_.name, FieldsOf(stage), &places);
    stage.head = head;
    Override(&stage, &places);
    ValidateStage(places, &stage);
  }

  const ReinforceRecipe* PractisedAround(size_t index) const {
    const auto reinforcement = [](const StageRecipe& stage) {
      return std::get_if<ReinforceRecipe>(&stage.recipe);
    };
    if (const StageRecipe* measured = Find(all_.stages[index].head.from)) {
      if (const auto* recipe = reinforcement(*measured)) return recipe;
    }
    for (size_t i = index; i < all_.stages.size(); ++i) {
      if (const auto* recipe = reinforcement(all_.stages[i])) return recipe;
    }
    return nullptr;
  }

  // Calls `check`; what it finds wrong is told with its place.
  template <typename Check>
  static void AtPlaces(const FieldPlaces& places, const FieldList& fields, const Check& check) {
    try {
      check();
    } catch (const UsageError& error) {
      throw UsageError(places.Tell(fields, error.what()));
    }
  }
  static void ValidateStage(const FieldPlaces& places, StageRecipe* stage) {
    AtPlaces(places, FieldsOf(*stage), [&] {
      const auto* reinforcement = std::get_if<ReinforceRecipe>(&stage->recipe);
      if (reinforcement && !stage->head.teacher.empty()) {
        ValidateTaught(*reinforcement, stage->head.teacher);
      } else {
        std::visit([](const auto& recipe) { Validate(recipe); }, stage->recipe);
      }
    });
  }
  static void ValidateTaught(ReinforceRecipe recipe, const std::string& teacher) {
    if (!recipe.teacher.model.empty()) {
      FailUsage("distil.teacher is '{}', but the stage's teacher is {}; leave one of them out",
                recipe.teacher.model, teacher);
    }
    recipe.teacher.model = teacher;
    Validate(recipe);
  }

  // Sets what overrides say of this stage, by its kind and then by its name. An evaluation and what
  // it measures bear one name: each takes what it has a field for.
  void Override(StageRecipe* stage, FieldPlaces* places) {
    if (stage->head.name != stage->head.kind) OverrideBy(stage->head.kind, stage, places);
    OverrideBy(stage->head.name, stage, places);
  }

  void OverrideBy(const std::string& name, StageRecipe* stage, FieldPlaces* places) {
    const FieldList fields = FieldsOf(*stage);
    for (size_t i = 0; i < text_.overrides.size(); ++i) {
      const auto own = Own(text_.overrides[i], name);
      if (!own || IsHead(*own)) continue;
      try {
        SetField(fields, *own, places);
        const Field* field = fields.Find(own->substr(0, own->find_first_of(" =")));
        if (field) places->Set(*field, "setting " + text_.overrides[i]);
        const Asking asking = AskingOf(*stage);
        if (field && field->path.ends_with("tasks") && asking.problems)
          RefuseTasksBesideFile(text_.overrides[i], *asking.tasks, *asking.problems);
        used_[i] = true;
      } catch (const UsageError& error) {
        if (fields.Find(own->substr(0, own->find_first_of(" =")))) throw;
        // An evaluation takes part in it under the name of what it measures.
        if (why_unused_[i].empty() || !std::holds_alternative<MeasureRecipe>(stage->recipe))
          why_unused_[i] = fmt::format("{}: {}", name, error.what());
      }
    }
  }

  // An override of what ties stages together.
  void RefuseHead(const std::string& override) const {
    for (const StageRecipe& stage : all_.stages) {
      const auto by_name = Own(override, stage.head.name), by_kind = Own(override, stage.head.kind);
      if (!(by_name && IsHead(*by_name)) && !(by_kind && IsHead(*by_kind))) continue;
      FailUsage("setting {}: kind, name, from, data and teacher are changed in the recipe itself",
                override);
    }
  }

  static bool IsHead(const std::string& override) {
    StageHead head;
    const FieldList list = darkhorse::FieldsOf(head);
    return list.Find(override.substr(0, override.find_first_of(" ="))) != nullptr;
  }

  const StageRecipe* Find(const std::string& name) const {
    const auto found = std::ranges::find_if(all_.stages, [&](const StageRecipe& stage) {
      // An evaluation bears the name of what it measures.
      return stage.head.name == name && !std::holds_alternative<MeasureRecipe>(stage.recipe);
    });
    return found == all_.stages.end() ? nullptr : &*found;
  }

  // What the head leaves open.
  void NameIt(const std::string& place, StageRecipe* stage) const {
    StageHead& head = stage->head;
    if (head.from.empty() && head.kind != "pretrain") {
      const auto before =
          std::ranges::find_if(all_.stages.rbegin(), all_.stages.rend(), MakesModel);
      if (before == all_.stages.rend() && all_.model.empty()) {
        FailUsage("{}: no stage before it makes a model; name one (from), or give one (model)",
                  place);
      }
      head.from = before == all_.stages.rend() ? kGivenModel : before->head.name;
    }
    if (!head.name.empty()) return;
    if (head.kind == "evaluate") {
      if (!Find(head.from) && head.from != kGivenModel)
        FailUsage("{}: give it a name, for its model is no stage's", place);
      head.name = head.from;
    } else {
      head.name = head.kind;
    }
  }

  void CheckHead(const std::string& place, const StageRecipe& stage) const {
    const StageHead& head = stage.head;
    const bool plain = std::ranges::all_of(
        head.name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
    if (!plain) FailUsage("{}: name is '{}'; letters, digits, - and _ make one", place, head.name);
    RefuseTaken(place, head.name);
    if (head.name == kGivenModel && head.kind != "evaluate")
      FailUsage("{}: name is '{}', which is that of the model that a run is given", place,
                head.name);
    for (const StageRecipe& other : all_.stages) {
      if (other.head.name == head.name &&
          (other.head.kind == "evaluate") == (head.kind == "evaluate"))
        FailUsage("{}: another stage is called {}, too; give it a name (name)", place, head.name);
    }
    const auto refuse = [&](const char* field, bool given, const char* kind) {
      if (given && head.kind != kind) {
        FailUsage("{}: {} is for the kinds {}", place, field,
                  kind == std::string("distil") ? "distil and reinforce" : "finetune and pretrain");
      }
      if (!given && head.kind == kind)
        FailUsage("{}: {} is missing: a stage before, or a path", place, field);
    };
    // Pretraining may have some.
    if (head.kind != "pretrain") refuse("data", !head.data.empty(), "finetune");
    // Reinforcement may have one.
    if (head.kind != "reinforce") refuse("teacher", !head.teacher.empty(), "distil");
    if (head.kind == "pretrain" && !head.from.empty())
      FailUsage("{}: from is '{}', but pretraining begins with none", place, head.from);
    RefuseUnknown(place, "from", head.from, /*makes_model=*/true);
    RefuseUnknown(place, "teacher", head.teacher, /*makes_model=*/true);
    if (head.kind == "pretrain") return RefuseNoFolder(place, head.data);
    for (const std::string& data : head.data)
      RefuseUnknown(place, "data", data, /*makes_model=*/false);
  }

  // What pretraining learns is no stage's.
  static void RefuseNoFolder(const std::string& place, const std::vector<std::string>& data) {
    if (data.size() > 1)
      FailUsage("{}: data names {} folders; pretraining learns one", place, data.size());
    if (!data.empty() && data[0].find_first_of("/.") == std::string::npos) {
      FailUsage("{}: data is '{}'; the path of a folder of token shards has a slash (./{})", place,
                data[0], data[0]);
    }
  }

  // Names that mean something else: in the run's folder, and in front of an override.
  static void RefuseTaken(const std::string& place, const std::string& name) {
    const std::vector<std::string> written = {"data",    "tokenizer",   "measured",
                                              "figures", "tensorboard", "probe"};
    if (std::ranges::count(written, name) > 0)
      FailUsage("{}: name is '{}', which a run writes itself; choose another", place, name);
    StagesRecipe list;
    const FieldList fields = darkhorse::FieldsOf(list);
    if (name == kGivenModel || !(fields.Find(name) || fields.IsSection(name))) return;
    FailUsage(
        "{}: name is '{}', which is a field or section of the whole run, so settings of one would "
        "be taken for the other's; choose another",
        place, name);
  }

  // A stage, or else a path, which has a slash or an end.
  void RefuseUnknown(const std::string& place, const char* field, const std::string& value,
                     bool makes_model) const {
    if (value.empty() || value.find_first_of("/.") != std::string::npos) return;
    if (makes_model && value == kGivenModel) {
      if (!all_.model.empty()) return;
      FailUsage("{}: {} is '{}', and the run is given none (--model, or model at the top)", place,
                field, value);
    }
    const StageRecipe* stage = Find(value);
    if (!stage) {
      FailUsage("{}: {} is '{}', no stage before it{}; a path has a slash (./{})", place, field,
                value, DidYouMean(value, Names()), value);
    }
    if (makes_model != MakesModel(*stage)) {
      FailUsage("{}: {} is '{}', a stage of the kind {}, which makes no {}", place, field, value,
                stage->head.kind, makes_model ? "model" : "chats");
    }
  }

  const RecipeText& text_;
  const TomlParts parts_;
  std::vector<bool> used_;               // the overrides
  std::vector<std::string> why_unused_;  // where a stage of the name has no such field
  StagesRecipe all_;
};

}  // namespace

Asking AskingOf(StageRecipe& stage) {
  if (auto* r = std::get_if<SampleRecipe>(&stage.recipe))
    return {&r->sample.tasks, &r->problems, &r->prompt};
  if (auto* r = std::get_if<ReinforceRecipe>(&stage.recipe))
    return {&r->rl.tasks, &r->problems, &r->prompt};
  if (auto* r = std::get_if<DistilRecipe>(&stage.recipe))
    return {&r->sampling.sample.tasks, &r->sampling.problems, &r->sampling.prompt};
  if (auto* r = std::get_if<MeasureRecipe>(&stage.recipe))
    return {&r->tasks, &r->problems, &r->prompt};
  return {};
}

void ListFields(StageHead& h, FieldList& list) {
  list.Add("kind", h.kind, fmt::format("{}", fmt::join(KindNames(), ", ")));
  list.Add("name", h.name, "of its folder; by default its kind");
  list.Add("from", h.from,
           "the model it begins with: a stage before it or a path; by default the last that makes "
           "a model");
  list.Add("data", h.data,
           "of finetune: stages that sampled, or paths; of pretrain: a folder that `data prepare` "
           "wrote, in place of the corpus");
  list.Add("teacher", h.teacher,
           "of distil, and of reinforce where one judges each token: a stage or a path");
}

void ListFields(StagesRecipe& r, FieldList& list) {
  list.Section("corpus", r.corpus, "the generated pretraining corpus");
  list.Add("vocab_size", r.vocab_size, "of the tokenizer trained on it");
  list.Add("digits_per_token", r.digits_per_token,
           "numbers are cut into tokens of up to so many digits (DeepSeek: 3)");
  list.Add("seed", r.seed, "of corpus and stages, unless they say one of their own");
  list.Add("precision", r.precision, "of the stages that train, unless they say one of their own");
  list.Add("model", r.model,
           "path of a model: in place of the one that the first pretraining would make, or what "
           "begins; stages name it model");
  list.Section("problems", r.problems,
               "of stages that ask a model and say nothing of their own; in place of their tasks");
  list.Section("prompt", r.prompt, "likewise, how the model is asked");
}

void Validate(const StagesRecipe& r) {
  for (const auto& [name, value, most] :
       {std::tuple{"vocab_size", r.vocab_size, int64_t{1} << 20},
        {"digits_per_token", r.digits_per_token, int64_t{1000}}}) {
    if (value < 1 || value > most)
      FailUsage("{} is {}; it must be from 1 to {}", name, value, most);
  }
  Validate(r.corpus);
}

void RefuseTasksBesideFile(const std::string& setting, const std::vector<std::string>& tasks,
                           const ProblemsOptions& problems) {
  if (tasks.empty() || problems.file.empty()) return;
  FailUsage(
      "setting {}: the problems of {} (problems.file) are in the place of built-in tasks; leave "
      "one "
      "of the two out",
      setting, problems.file);
}

StagesRecipe ParseStagesRecipe(const RecipeText& text,
                               const std::function<void(ProblemsOptions*)>& set_problems) {
  return Reader(text).Read(set_problems);
}

std::string ToToml(const StageRecipe& stage) {
  StageRecipe copy = stage;
  return FieldsToToml(FieldsOf(copy), /*help=*/false);
}

std::string ToToml(const StagesRecipe& recipe) {
  StagesRecipe copy = recipe;
  std::string text = FieldsToToml(darkhorse::FieldsOf(copy), /*help=*/false);
  for (const StageRecipe& stage : recipe.stages) {
    text += "\n[[stage]]\n";
    std::string own = ToToml(stage);
    // A section of it is one of the table's.
    for (size_t at = 0; (at = own.find("\n[", at)) != std::string::npos; at += 2)
      own.insert(at + 2, "stage.");
    text += own;
  }
  return text;
}

}  // namespace darkhorse
