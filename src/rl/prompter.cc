#include "rl/prompter.h"

#include "base/error.h"

namespace darkhorse {

Conversation::Options TalkOf(const PromptOptions& options) {
  // Dates would make another prompt of the same problem every day.
  Conversation::Options talk{.system = options.system, .dated = false, .prefill = options.prefill};
  if (options.thinking != "auto") talk.thinks = options.thinking == "on";
  return talk;
}

bool GoesThroughTemplate(const PromptOptions& options, const ChatFormat& format,
                         const std::string& model) {
  const bool has_one = !format.chat_template.empty();
  if (options.form == "chat" && !has_one)
    FailUsage("prompt.template is chat, but {} has no chat template; plain asks without", model);
  const bool chats = has_one && options.form != "plain";
  if (chats) return true;
  for (const auto& [name, set] :
       {std::pair{"system", !options.system.empty()}, {"thinking", options.thinking != "auto"}}) {
    if (!set) continue;
    FailUsage("prompt.{} is for a chat template, but {}", name,
              has_one ? "prompt.template is plain" : model + " has none");
  }
  return false;
}

std::string InstructionFor(const PromptOptions& options, bool chats, const std::string& automatic) {
  if (options.instruction != "auto") return options.instruction;
  return chats ? automatic : "";
}

std::string Worded(const Problem& problem, const std::string& instruction) {
  const std::string& prompt = problem.prompt;  // ends with a newline
  return instruction.empty() ? prompt.substr(0, prompt.size() - 1) : prompt + instruction;
}

nlohmann::ordered_json MessagesOf(const PromptOptions& options, const std::string& question) {
  auto messages = nlohmann::ordered_json::array();
  if (!options.system.empty())
    messages.push_back({{"role", "system"}, {"content", options.system}});
  messages.push_back({{"role", "user"}, {"content", question}});
  return messages;
}

Prompter::Prompter(AskedModel model, const PromptOptions& options, const std::string& instruction,
                   const std::vector<Problem>& shots)
    : model_(std::move(model)),
      talk_(model_.tokenizer,
            GoesThroughTemplate(options, model_.format, model_.name) ? model_.format : ChatFormat{},
            model_.bos, model_.name, TalkOf(options)) {
  instruction_ = InstructionFor(options, chats(), instruction);
  CHECK(shots.empty() || chats());
  for (const Problem& shot : shots) {
    talk_.Ask(Worded(shot));
    talk_.Answer("", shot.answer);
  }
}

Prompter::Prompt Prompter::Of(const Problem& problem) const {
  Conversation talk = talk_;
  try {
    Prompt prompt{.tokens = talk.Ask(Worded(problem)), .opening = ""};
    prompt.opening = talk.Opening();
    return prompt;
  } catch (const Error& error) {
    if (problem.where.empty()) throw;
    Fail("{}: {}", problem.where, error.what());
  }
}

}  // namespace darkhorse
