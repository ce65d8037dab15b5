#include "data/chat_rows.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/ascii.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_spelling.h"
#include "base/row_faults.h"
#include "data/corpus.h"
#include "data/json_reader.h"
#include "data/line_reader.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxRowBytes = 16 << 20;
constexpr int kMaxDepth = 64;

constexpr const char* kPromptColumns[] = {"prompt", "problem", "question", "instruction", "query"};
constexpr const char* kAnswerColumns[] = {"completion", "response", "output", "solution", "answer"};
constexpr const char* kThoughtFields[] = {"reasoning_content", "thinking", "reasoning"};

constexpr char kForms[] =
    "write {\"messages\": [{\"role\": \"user\", \"content\": …}, {\"role\": \"assistant\", …}]} or "
    "{\"prompt\": …, \"completion\": …}";

// The first of these members that is there and not null; null: none is.
const Json* Find(const Json& object, std::span<const char* const> names) {
  for (const char* name : names) {
    const auto found = object.find(name);
    if (found != object.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}
const Json* Find(const Json& object, const char* name) { return Find(object, std::span(&name, 1)); }

// ShareGPT's names of who speaks, and other data sets'.
std::string RoleOf(const std::string& speaker) {
  static constexpr std::pair<const char*, const char*> kRoles[] = {
      {"human", "user"},    {"gpt", "assistant"},         {"chatgpt", "assistant"},
      {"bot", "assistant"}, {"model", "assistant"},       {"observation", "tool"},
      {"user", "user"},     {"system", "system"},         {"assistant", "assistant"},
      {"tool", "tool"},     {"function_response", "tool"}};
  for (const auto& [name, role] : kRoles) {
    if (speaker == name) return role;
  }
  Fail("from is '{}'; known are human, gpt, system and tool", Printable(speaker, 40));
}

// Of a message: a text, or parts that are texts.
std::string TextOf(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) Fail("content is neither text nor a list of parts");
  std::string text;
  for (const Json& part : content) {
    const Json* words = part.is_object() ? Find(part, "text") : nullptr;
    if (!words || !words->is_string()) Fail("content has a part that is no text");
    text += words->get<std::string>();
  }
  return text;
}

Json MessageOf(const Json& given) {
  if (!given.is_object()) Fail("must be an object with role and content");
  Json message = {{"role", ""}, {"content", ""}};
  if (const Json* role = Find(given, "role")) {
    if (!role->is_string() || role->get<std::string>().empty()) Fail("role must be a text");
    message["role"] = *role;
  } else if (const Json* from = Find(given, "from")) {
    if (!from->is_string()) Fail("from must be a text");
    message["role"] = RoleOf(from->get<std::string>());
  } else {
    Fail("has no role (or from)");
  }
  static constexpr const char* kContents[] = {"content", "value"};
  const Json* content = Find(given, kContents);
  if (!content && !given.contains("tool_calls")) Fail("has no content (or value)");
  if (content) message["content"] = TextOf(*content);
  if (const Json* thought = Find(given, kThoughtFields); thought && !thought->empty())
    message["reasoning_content"] = TextOf(*thought);
  if (const Json* weight = Find(given, "weight"); weight && *weight != 0 && *weight != 1)
    Fail("weight is {}; it must be 0, so that the turn is not learned, or 1",
         Printable(weight->dump(), 40));
  for (const auto& [name, value] : given.items()) {
    const auto is = [&name = name](const char* other) { return name == other; };
    if (is("role") || is("from") || std::ranges::any_of(kContents, is) ||
        std::ranges::any_of(kThoughtFields, is))
      continue;
    message[name] = value;
  }
  return message;
}

void AddMessages(const Json& list, const char* column, Json* messages) {
  if (!list.is_array() || list.empty()) Fail("{} is no list of messages", column);
  for (size_t i = 0; i < list.size(); ++i) {
    try {
      messages->push_back(MessageOf(list[i]));
    } catch (const Error& error) {
      Fail("{}[{}]: {}", column, i, error.what());
    }
  }
}

class Row {
 public:
  // Error: no object.
  explicit Row(std::string_view text) {
    std::string why;
    std::optional<Json> parsed = TryParseJson<Json>(text, &why, kMaxDepth);
    if (!parsed) Fail("{}", why);
    if (!parsed->is_object()) Fail("not a JSON object; {}", kForms);
    row_ = *std::move(parsed);
    members_ = JsonMembers(text);
  }

  std::vector<Chat> Chats(ChatCounts* counts) const {
    std::vector<Chat> chats;
    if (Find(row_, "generations")) {
      for (const std::string& answer : RightGenerations(counts)) {
        chats.push_back(Opening());
        AddPrompt(&chats.back().messages);
        chats.back().messages.push_back({{"role", "assistant"}, {"content", answer}});
      }
    } else {
      chats.push_back(Opening());
      Json* messages = &chats.back().messages;
      static constexpr const char* kLists[] = {"messages", "conversations", "conversation"};
      const auto* list = std::ranges::find_if(kLists, [&](auto name) { return Find(row_, name); });
      if (list != std::end(kLists)) {
        AddMessages(*Find(row_, *list), *list, messages);
      } else {
        AddPrompt(messages);
        AddAnswer(messages);
      }
    }
    for (const Chat& chat : chats) Check(chat.messages);
    return chats;
  }

 private:
  // What stands before a conversation, whatever form it has.
  Chat Opening() const {
    Chat chat;
    if (const Json* tools = Find(row_, "tools"); tools && !tools->empty()) {
      // Data sets whose columns have one type each keep them as a text.
      std::optional<Json> list = *tools;
      if (tools->is_string()) list = TryParseJson<Json>(tools->get<std::string>());
      if (!list || !list->is_array()) Fail("tools is no list");
      if (!list->empty()) chat.tools = *std::move(list);
    }
    const Json* system = Find(row_, "system");
    if (system && !system->is_string()) Fail("system is no text");
    if (system && !TrimAscii(system->get<std::string>()).empty())
      chat.messages.push_back({{"role", "system"}, {"content", *system}});
    return chat;
  }

  // A text, or a number as it is spelt.
  std::string Text(const char* column) const {
    const Json& value = row_[column];
    if (value.is_string()) return value.get<std::string>();
    if (!value.is_number()) Fail("{} is neither text nor a number", column);
    const auto member =
        std::ranges::find_if(members_, [&](const JsonMember& m) { return m.key == column; });
    return member->value;
  }

  const char* ColumnOf(std::span<const char* const> names) const {
    const auto found = std::ranges::find_if(names, [&](auto name) { return Find(row_, name); });
    return found == names.end() ? nullptr : *found;
  }

  void AddPrompt(Json* messages) const {
    const char* column = ColumnOf(kPromptColumns);
    if (!column) FailUnknown();
    if (row_[column].is_array()) return AddMessages(row_[column], column, messages);
    std::string prompt = Text(column);
    if (TrimAscii(prompt).empty()) Fail("{} is empty", column);
    if (const Json* input = Find(row_, "input");  // Alpaca's: what the instruction is about
        column == std::string_view("instruction") && input && input->is_string() &&
        !TrimAscii(input->get<std::string>()).empty())
      prompt += "\n\n" + input->get<std::string>();
    messages->push_back({{"role", "user"}, {"content", prompt}});
  }

  void AddAnswer(Json* messages) const {
    const char* column = ColumnOf(kAnswerColumns);
    if (!column) FailUnknown();
    if (row_[column].is_array()) return AddMessages(row_[column], column, messages);
    Json message = {{"role", "assistant"}, {"content", Text(column)}};
    if (const char* thought = ColumnOf(kThoughtFields))
      message["reasoning_content"] = Text(thought);
    messages->push_back(std::move(message));
  }

  // Those that a column whose name begins with "correctness" says are right, and none says are cut
  // off.
  std::vector<std::string> RightGenerations(ChatCounts* counts) const {
    const Json& generations = row_["generations"];
    if (!generations.is_array()) Fail("generations is no list");
    std::vector<bool> right(generations.size()), whole(generations.size(), true);
    bool judged = false;
    const auto judge = [&](const std::string& column, const Json& verdicts, auto use) {
      if (verdicts.size() != generations.size())
        Fail("{} has {} verdicts on {} generations", column, verdicts.size(), generations.size());
      for (size_t i = 0; i < verdicts.size(); ++i) {
        if (verdicts[i].is_boolean()) use(i, verdicts[i].get<bool>());
      }
    };
    for (const auto& [column, verdicts] : row_.items()) {
      if (!verdicts.is_array()) continue;
      if (column.starts_with("correctness")) {
        judge(column, verdicts, [&](size_t i, bool is) { right[i] = right[i] || is; });
        judged = true;
      } else if (column == "is_reasoning_complete") {
        judge(column, verdicts, [&](size_t i, bool is) { whole[i] = is; });
      }
    }
    if (!judged)
      Fail("generations without a column correctness_… that says which of them are right");
    std::vector<std::string> answers;
    for (size_t i = 0; i < generations.size(); ++i) {
      if (!generations[i].is_string()) Fail("generations[{}] is no text", i);
      if (right[i] && whole[i]) answers.push_back(generations[i].get<std::string>());
    }
    counts->wrong_answers += static_cast<int64_t>(generations.size() - answers.size());
    if (answers.empty()) ++counts->rows_without_answer;
    return answers;
  }

  static void Check(const Json& messages) {
    bool answered = false;
    for (size_t i = 0; i < messages.size(); ++i) {
      const Json& message = messages[i];
      if (message["role"] != "assistant") continue;
      answered = true;
      if (TrimAscii(message["content"].get<std::string>()).empty() &&
          !message.contains("reasoning_content") && !message.contains("tool_calls"))
        Fail("the assistant says nothing in message {}", i + 1);
    }
    if (!answered) Fail("no message is the assistant's: there is nothing to learn from it");
  }

  [[noreturn]] void FailUnknown() const {
    std::string columns;
    for (const auto& [name, value] : row_.items())
      columns += (columns.empty() ? "" : ", ") + Printable(name, 40);
    Fail("not a chat: its columns are {}; {}", columns.empty() ? "none" : columns, kForms);
  }

  Json row_;
  std::vector<JsonMember> members_;
};

// Calls `read` with each value that the reader finds in the file; what it throws, and what the
// reader cannot read, are the file's faults.
template <typename Reader>
void ForEachRow(const std::string& path, const std::function<void(const std::string& row)>& read) {
  RowFaults faults;
  Reader reader(path, kMaxRowBytes);
  std::string row;
  for (auto found = reader.Next(&row); found != Reader::Result::kEnd; found = reader.Next(&row)) {
    const std::string where = fmt::format("{}:{}", path, reader.line_number());
    try {
      if (found == Reader::Result::kTooLong) Fail("longer than {} MiB", kMaxRowBytes >> 20);
      if constexpr (std::is_same_v<Reader, JsonReader>) {
        if (found == Reader::Result::kUnclosed)
          Fail("a bracket or quote is not closed; is the file whole?");
      }
      if (!TrimAscii(row).empty()) read(row);
    } catch (const Error& error) {
      faults.Add(where, error.what());
    }
  }
  faults.Raise();
}

// "chats.JSONL.gz" has the suffix ".jsonl".
bool Is(std::string name, std::string_view suffix) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) name.resize(name.size() - packed.size());
  }
  return name.ends_with(suffix);
}

}  // namespace

ChatCounts ForEachChat(const std::vector<std::string>& paths,
                       const std::function<void(const Chat&)>& use) {
  ChatCounts counts;
  const auto read = [&](const std::string& text) {
    ++counts.rows;
    for (const Chat& chat : Row(text).Chats(&counts)) {
      use(chat);
      ++counts.chats;
    }
  };
  for (const std::string& path : FindCorpusFiles(paths).files) {
    if (Is(path, ".txt"))
      Fail("{}: a text has no chats; give files of JSON rows, .jsonl or .json", path);
    if (Is(path, ".json")) {
      ForEachRow<JsonReader>(path, read);
    } else {
      ForEachRow<LineReader>(path, read);
    }
  }
  if (counts.rows == 0) Fail("{}: no rows in it; {}", fmt::join(paths, ", "), kForms);
  return counts;
}

}  // namespace darkhorse
