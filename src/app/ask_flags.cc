#include "app/ask_flags.h"

#include "base/byte_source.h"
#include "base/error.h"
#include "rl/prompter.h"
#include "task/answer_place.h"
#include "task/jsonl.h"

namespace darkhorse {

void AskFlags::Register(Command command) {
  std::vector<std::string> places = AnswerPlaceNames();
  places.insert(places.begin(), "auto");
  command
      .Add("--chat", chat, "questions go through the model's chat template; auto: where it has one")
      .OneOf({"auto", "on", "off"});
  command.AddFunction(
      "--system", [this](const std::string& text) { system = text; }, "TEXT",
      "what the run that the model lies in told it",
      "what the model is told before all, in its chat template; \"\" for nothing");
  command
      .Add("--thinking", thinking,
           "what a chat template is told that asks whether to think; auto: its own default")
      .OneOf({"auto", "on", "off"});
  command
      .Add(
          "--answer", place,
          "where the model is asked to put its answer: within \\boxed{}, behind ####, in the tags "
          "of this program's own tasks, as the last number or the last letter; auto: as in the run "
          "that the model lies in, else tags, and in a chat as fits the rule")
      .OneOf(places);
  std::vector<std::string> wordings = WordsNames();
  wordings.insert(wordings.begin(), "auto");
  command
      .Add("--words", words,
           "how the built-in tasks are worded; auto: as in the run that the model lies in, else in "
           "their notation, and in a chat in English")
      .OneOf(wordings);
  command.AddFunction(
      "--instruction", [this](const std::string& text) { instruction = text; }, "TEXT",
      "as the run that the model lies in, else what asks for --answer",
      "what follows each question in a chat; \"\" for nothing");
  command.Add("--shots", shots,
              "JSON Lines of questions with worked answers, which stand before each question in "
              "its chat");
}

PromptOptions AskFlags::Prompt(PromptOptions prompt, const OpenedModel& model) const {
  if (chat == "on") prompt.form = "chat";
  if (chat == "off")  // what a recipe says for the template is not for this
    prompt = {.form = "plain", .prefill = prompt.prefill, .instruction = prompt.instruction};
  if (system) prompt.system = *system;
  if (thinking != "auto") prompt.thinking = thinking;
  if (instruction) prompt.instruction = *instruction;
  const bool has_one = !model.chat_format().chat_template.empty();
  if (chat == "on" && !has_one) FailUsage("--chat on: {} has no chat template", model.path());
  const bool chats = has_one && prompt.form != "plain";
  const bool told = !prompt.system.empty() || thinking != "auto" || instruction;
  if (!chats && (told || !shots.empty())) {
    FailUsage("--shots, --system, --thinking and --instruction are for a chat, but {}",
              has_one ? "--chat is off" : model.path() + " has no chat template");
  }
  return prompt;
}

std::vector<Problem> AskFlags::Shots() const {
  constexpr int64_t kMaxShotBytes = int64_t{1} << 26;
  if (shots.empty()) return {};
  return ParseProblems(ReadDecompressed(shots, kMaxShotBytes), shots, AnswerColumn::kWorked);
}

}  // namespace darkhorse
