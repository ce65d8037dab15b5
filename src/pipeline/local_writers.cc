// Writers that have a model's files: the model, and the generator of traces in its tokens.
#include <filesystem>
#include <optional>
#include <span>

#include "base/checksum.h"
#include "base/error.h"
#include "base/random.h"
#include "checkpoint/checksums.h"
#include "infer/engine.h"
#include "pipeline/answer_writer.h"
#include "pipeline/run_format.h"
#include "rl/answers.h"
#include "rl/rollout.h"
#include "rl/sample_metrics.h"

namespace darkhorse {

WrittenAnswer Written(Sample sample) {
  const bool ended = !sample.truncated && !sample.completion.empty();
  const std::span<const int32_t> said(sample.completion.data(),
                                      sample.completion.size() - (ended ? 1 : 0));
  return {.text = std::move(sample.text),
          .tokens = static_cast<int64_t>(sample.completion.size()),
          .truncated = sample.truncated,
          .repeats = EndsInRepetition(said),
          .score = std::move(sample.score)};
}

void ScoreAnswers(const AnswerWork& work, int64_t first, std::vector<WrittenAnswer>* answers) {
  std::vector<Answer> given;
  const int64_t each = work.recipe.sample.samples;
  for (size_t i = 0; i < answers->size(); ++i) {
    const auto problem = static_cast<size_t>(first + static_cast<int64_t>(i) / each);
    given.push_back({&work.problems[problem], (*answers)[i].text});
  }
  std::vector<Score> scores = work.environment.ScoreAll(given, work.stop);
  for (size_t i = 0; i < scores.size(); ++i) (*answers)[i].score = std::move(scores[i]);
}

namespace {

// What has the files of a model.
class LocalWriter : public AnswerWriter {
 public:
  LocalWriter(const AnswerWork& work, OpenedModel opened)
      : work_(work),
        options_(work.recipe.sample),
        prompter_(opened.Asked(), work.recipe.prompt, InstructionOf(work.decided)),
        opened_(std::move(opened)),
        longest_(LongestOf()) {
    if (const std::string note = ContextNote("sample.max_tokens", options_.max_tokens, longest_,
                                             opened_.config().max_position_embeddings);
        !note.empty())
      work_.on_note(note);
  }

  uint64_t Fingerprint() const override { return CheckpointFingerprint(opened_.path()); }
  std::string Name() const override {
    const std::filesystem::path path = opened_.path();
    return (path.has_filename() ? path : path.parent_path()).filename().string();
  }
  std::string Shown() const override {
    return fmt::format("{}, fingerprint {}", Name(), HexU64(Fingerprint()));
  }
  std::string Worded(const Problem& problem) const override { return prompter_.Worded(problem); }

 protected:
  const AnswerWork work_;
  const SampleOptions& options_;
  const Prompter prompter_;
  const OpenedModel opened_;
  const int64_t longest_;  // prompt, in tokens

 private:
  int64_t LongestOf() const {
    std::vector<const Problem*> all;
    for (const Problem& problem : work_.problems) all.push_back(&problem);
    return LongestPrompt(prompter_, all, opened_.config().max_position_embeddings);
  }
};

class ModelWriter : public LocalWriter {
 public:
  ModelWriter(const AnswerWork& work, OpenedModel opened)
      : LocalWriter(work, std::move(opened)), format_(ChooseFormat()), need_(Need()) {}

  void Prepare() override {
    model_.emplace(OpenedModel(opened_.path()), format_, need_);
    engine_.emplace(model_->model(), model_->weights(),
                    EngineOptions{.slots = need_.sequences, .capacity = need_.tokens});
  }

  std::vector<WrittenAnswer> Answer(int64_t first, int64_t count) override {
    const auto begin = work_.problems.begin() + first;
    std::vector<WrittenAnswer> answers;
    for (Sample& sample :
         Rollout(*engine_, prompter_, StopTokens(opened_.config()), {begin, begin + count},
                 work_.environment,
                 {.samples = options_.samples,
                 .max_tokens = options_.max_tokens,
                 .sampling = options_.sampling(),
                 .seed = options_.seed,
                 .stream = static_cast<uint64_t>(first * options_.samples),
                 .on_step = [&](const EngineStep& step) { work_.on_tokens(step.sampled); }},
                 work_.stop)) {
      answers.push_back(Written(std::move(sample)));
    }
    return answers;
  }

 private:
  RunFormat ChooseFormat() const {
    if (options_.weights != "auto") return ParseRunFormat(options_.weights);
    return TrainedFormat(opened_.path(), "sample.weights = \"f32\"", work_.on_note);
  }
  CacheNeed Need() const {
    return {.sequences = SlotsFor(options_.problems_at_once, options_.samples, options_.slots),
            .tokens = CapacityFor(longest_, options_.max_tokens,
                                  opened_.config().max_position_embeddings),
            .smaller_cache = "lower sample.slots or sample.max_tokens",
            .smaller_weights = "sample.weights = \"q4\""};
  }

  const RunFormat format_;
  const CacheNeed need_;
  std::optional<LoadedModel> model_;
  std::optional<Engine> engine_;
};

// What the corpus has of such problems, but for those that give up, and in the order in which
// nothing need be remembered.
class TraceWriter : public LocalWriter {
 public:
  TraceWriter(const AnswerWork& work, OpenedModel opened) : LocalWriter(work, std::move(opened)) {
    if (prompter_.chats()) {
      FailUsage("sample.writer is traces, which {} cannot be asked for: it has a chat template",
                opened_.path());
    }
    style_.give_up = {0};
    style_.max_attempts = 1000;
    style_.ordered = 1;
    style_.straight = 0;
  }

  std::vector<WrittenAnswer> Answer(int64_t first, int64_t count) override {
    std::vector<WrittenAnswer> answers;
    for (int64_t p = 0; p < count; ++p) {
      const Problem& problem = work_.problems[static_cast<size_t>(first + p)];
      for (int64_t i = 0; i < options_.samples; ++i) {
        const int64_t draw = (first + p) * options_.samples + i;
        RandomSequence random(options_.seed, RandomStream::kSample, static_cast<uint64_t>(draw));
        WrittenAnswer answer{.text = FindTask(problem.task).WorkedTrace(problem, style_, random)};
        const std::vector<int32_t> tokens =
            opened_.tokenizer().EncodeDocument(-1, answer.text, /*special=*/true);
        answer.tokens = static_cast<int64_t>(tokens.size()) + 1;  // the end mark
        answer.truncated = answer.tokens > options_.max_tokens;
        answer.repeats = EndsInRepetition(tokens);
        answers.push_back(std::move(answer));
      }
    }
    ScoreAnswers(work_, first, &answers);
    return answers;
  }

 private:
  TraceStyle style_;
};

}  // namespace

std::unique_ptr<AnswerWriter> MakeModelWriter(const AnswerWork& work, OpenedModel opened) {
  return std::make_unique<ModelWriter>(work, std::move(opened));
}

std::unique_ptr<AnswerWriter> MakeTraceWriter(const AnswerWork& work, OpenedModel opened) {
  return std::make_unique<TraceWriter>(work, std::move(opened));
}

}  // namespace darkhorse
