#include "text/chat_template.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/template/characters.h"

namespace darkhorse {

namespace {

using nlohmann::ordered_json;

// Stands behind the text that is to be continued while the template is rendered. transformers uses
// the same; its space shows whether the template strips the message.
constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

// The names that templates read a message's thoughts from; the first has the last word.
constexpr const char* kReasoningFields[] = {"reasoning_content", "thinking", "reasoning"};

void AliasReasoning(ordered_json* message) {
  for (const char* field : kReasoningFields) {
    const auto found = message->find(field);
    if (found == message->end() || found->is_null()) continue;
    const ordered_json reasoning = *found;
    if (!message->contains("thinking")) (*message)["thinking"] = reasoning;
    (*message)["reasoning_content"] = reasoning;
    return;
  }
}

void CheckMessages(const ordered_json& messages) {
  if (!messages.is_array()) Fail("messages: must be an array of objects");
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) Fail("messages[{}]: must be an object with role and content", i);
  }
}

// The content, or the last text among its parts, gets the tag.
void TagLastMessage(ordered_json* messages) {
  if (messages->empty()) Fail("messages: there is no last message to continue");
  ordered_json& last = messages->back();
  if (last.contains("content")) {
    ordered_json& content = last["content"];
    if (content.is_string()) {
      content.get_ref<std::string&>() += kContinueTag;
      return;
    }
    if (content.is_array()) {
      for (auto part = content.rbegin(); part != content.rend(); ++part) {
        if (!part->is_object() || !part->contains("text") || !(*part)["text"].is_string()) continue;
        (*part)["text"].get_ref<std::string&>() += kContinueTag;
        return;
      }
    }
  }
  Fail("messages[{}]: has no text to continue", messages->size() - 1);
}

// The text up to the tag, and without the white space before it if the template stripped it.
MarkedText UpToTag(const MarkedText& text, const std::string& name) {
  const std::string_view word = kContinueTag.substr(0, kContinueTag.size() - 1);
  const size_t at = text.bytes().rfind(word);
  if (at == std::string::npos) {
    Fail("{}: the template leaves out the last message's text, so that it cannot be continued",
         name);
  }
  size_t end = at;
  if (!std::string_view(text.bytes()).substr(at).starts_with(kContinueTag)) {
    for (size_t before = end; before > 0 && jinja::IsSpace(PreviousUtf8(text.bytes(), &before));) {
      end = before;
    }
  }
  return text.Part(0, end);
}

}  // namespace

ChatTemplate ChatTemplate::Parse(std::string_view source, const std::string& name) {
  return ChatTemplate(jinja::Template::Parse(source, name));
}

MarkedText ChatTemplate::Render(const ordered_json& messages, const ChatOptions& options) const {
  CheckMessages(messages);
  jinja::Context context(options.limits, options.now);
  std::vector<jinja::Value> turns;
  ordered_json given = messages;
  if (options.continue_final_message) TagLastMessage(&given);
  for (ordered_json& message : given) {
    AliasReasoning(&message);
    const auto role = message.find("role");
    const bool trusted = options.trust_assistant && role != message.end() && *role == "assistant";
    turns.push_back(
        jinja::FromJson(context, message, trusted ? Origin::kTemplate : Origin::kInput));
  }
  const auto input = [&](const ordered_json& json) {
    return jinja::FromJson(context, json, Origin::kInput);
  };
  jinja::Template::Variables variables;
  if (!options.variables.is_null() && !options.variables.is_object()) {
    Fail("variables: must be an object of names and values");
  }
  for (const auto& [name, value] : options.variables.items()) {
    variables.emplace_back(name, input(value));
  }
  variables.emplace_back("messages", jinja::NewList(context, std::move(turns)));
  variables.emplace_back("tools", input(options.tools));
  variables.emplace_back("documents", input(options.documents));
  variables.emplace_back("bos_token", jinja::NewText(context, options.bos_token));
  variables.emplace_back("eos_token", jinja::NewText(context, options.eos_token));
  variables.emplace_back("add_generation_prompt", jinja::Value{options.add_generation_prompt &&
                                                               !options.continue_final_message});
  MarkedText text = template_.Render(context, variables);
  return options.continue_final_message ? UpToTag(text, template_.name()) : std::move(text);
}

std::vector<int32_t> EncodeChat(const Tokenizer& tokenizer, const MarkedText& text, int32_t bos) {
  std::vector<int32_t> ids;
  tokenizer.Encode(text.Segments(), &ids);
  if (bos < 0) return ids;
  if (ids.empty() || ids[0] != bos) {
    ids.insert(ids.begin(), bos);
  } else if (ids.size() > 1 && ids[1] == bos) {
    ids.erase(ids.begin());
  }
  return ids;
}

nlohmann::ordered_json ThinkingVariables(bool thinks) {
  return {{"enable_thinking", thinks}, {"thinking", thinks}};  // Qwen's name of it and DeepSeek's
}

std::optional<std::tm> LocalNow() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  return localtime_r(&now, &local) ? std::optional(local) : std::nullopt;
}

}  // namespace darkhorse
