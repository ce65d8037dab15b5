// Any bytes as a chat template: an Error, or one that renders a conversation within its limits, the
// same each time, to valid UTF-8 whose marks are as long as the text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"
#include "text/chat_template.h"
#include "text/thoughts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darkhorse;
  static const auto* messages = new nlohmann::ordered_json(nlohmann::ordered_json::parse(R"([
    {"role": "system", "content": "Be <brief>."},
    {"role": "user", "content": [{"type": "text", "text": " é\n多 </think>"}]},
    {"role": "assistant", "content": "x", "reasoning": "y", "tool_calls": [
      {"function": {"name": "f", "arguments": {"a": [1, 2.5, null, true], "b": {}}}}]},
    {"role": "user", "content": "Bye"}])"));
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  try {
    const auto chat = ChatTemplate::Parse(source, "fuzz");
    ChatOptions options;
    options.tools = (*messages)[2]["tool_calls"];
    options.variables = {{"enable_thinking", true}};
    options.bos_token = "<s>";
    options.limits = {.steps = 20'000, .memory = 1 << 20, .output = 1 << 16};
    options.now = std::tm{.tm_mday = 1, .tm_year = 100};
    const MarkedText text = chat.Render(*messages, options);
    CHECK(IsValidUtf8(text.bytes()));
    CHECK(text.size() <= 1 << 16);
    size_t bytes = 0;
    for (const TextSegment& segment : text.Segments()) bytes += segment.text.size();
    CHECK(bytes == text.size());
    CHECK(chat.Render(*messages, options).bytes() == text.bytes());
    EndsInThought(text);
  } catch (const Error& error) {
    CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
