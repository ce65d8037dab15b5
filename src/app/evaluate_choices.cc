#include "app/evaluate_choices.h"

#include <algorithm>
#include <optional>

#include "base/byte_source.h"
#include "base/error.h"
#include "base/interval.h"
#include "infer/continuations.h"
#include "rl/prompter.h"
#include "task/choices.h"
#include "text/tags.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 32;

class Wording {
 public:
  Wording(const LoadedModel& loaded, const PromptOptions& prompt) : loaded_(loaded) {
    if (!GoesThroughTemplate(prompt, loaded.chat_format(), loaded.path())) return;
    Conversation::Options talk = TalkOf(prompt);
    talk.prefill = "";
    if (!talk.thinks) talk.thinks = false;  // what is judged is the answer
    talk_.emplace(loaded.Talk(talk));
  }

  std::vector<int32_t> Prompt(const std::string& question) {
    if (!talk_) {
      // The space belongs to the choice, as it belongs to a word's first token.
      return loaded_.PromptTokens(question.substr(0, question.find_last_not_of(" \t\r\n") + 1),
                                  /*special=*/false);
    }
    std::vector<int32_t> tokens = talk_->Ask(question);
    talk_->Withdraw();
    if (talk_->begins_in_thought())
      loaded_.tokenizer().Encode(fmt::format("\n{}\n\n", kThinkClose), &tokens);
    return tokens;
  }
  std::vector<int32_t> Choice(const std::string& choice) const {
    std::vector<int32_t> tokens;
    loaded_.tokenizer().Encode(talk_ ? choice : " " + choice, &tokens, /*allow_special=*/false);
    return tokens;
  }

 private:
  const LoadedModel& loaded_;
  std::optional<Conversation> talk_;
};

void AddAccuracy(const std::string& name, const std::vector<double>& right, Json* result) {
  const Interval accuracy = MeanInterval(right);
  (*result)[name] = accuracy.value;
  (*result)[name + "_ci95"] = {accuracy.low, accuracy.high};
}

}  // namespace

Json EvaluateChoices(const LoadedModel& loaded, const std::string& file,
                     const PromptOptions& prompt, int64_t count) {
  std::vector<ChoiceQuestion> questions = ParseChoices(ReadDecompressed(file, kMaxFileBytes), file);
  if (static_cast<int64_t>(questions.size()) > count) {
    Note(fmt::format("{}: the first {} of {} questions; --count takes more", file, count,
                     questions.size()));
    questions.resize(static_cast<size_t>(count));
  }
  Wording wording(loaded, prompt);
  StatusLine status;
  std::vector<double> right, right_per_byte;
  double guessed = 0;
  for (const ChoiceQuestion& question : questions) {
    std::vector<std::vector<int32_t>> choices;
    std::vector<double> bytes;
    for (const std::string& choice : question.choices) {
      choices.push_back(wording.Choice(choice));
      bytes.push_back(static_cast<double>(choice.size()));
    }
    std::vector<double> logp;
    try {
      logp = ContinuationLogp(loaded.model(), loaded.weights(), wording.Prompt(question.question),
                              choices);
    } catch (const Error& error) {
      Fail("{}: {}", question.where, error.what());
    }
    right.push_back(MostProbable(logp) == question.answer ? 1 : 0);
    right_per_byte.push_back(MostProbable(logp, bytes) == question.answer ? 1 : 0);
    guessed += 1 / static_cast<double>(choices.size());
    status.Show(fmt::format("question {}/{} · accuracy {:.3f}", right.size(), questions.size(),
                            MeanInterval(right).value));
  }
  Json result{{"file", file}, {"questions", questions.size()}};
  AddAccuracy("accuracy", right, &result);
  AddAccuracy("accuracy_per_byte", right_per_byte, &result);
  result["accuracy_of_guesses"] = guessed / static_cast<double>(questions.size());
  return result;
}

}  // namespace darkhorse
