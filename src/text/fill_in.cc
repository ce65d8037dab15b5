#include "text/fill_in.h"

namespace darkhorse {
namespace {

struct Family {
  const char *prefix, *suffix, *middle;
};
constexpr Family kFamilies[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen2.5-Coder, CodeGemma
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},  // DeepSeek-Coder, DeepSeek-V3
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder, Granite
};
// What such models write behind a middle, beside the marks themselves: fillers, the next file or
// repository, the document's end.
constexpr const char* kEnds[] = {
    "<|fim_pad|>", "<|file_sep|>", "<|file_separator|>", "<|repo_name|>", "<fim_pad>",
    "<file_sep>",  "<filename>",   "<reponame>",         "<|endoftext|>", "<｜end▁of▁sentence｜>"};

}  // namespace

std::optional<FillInMarks> FillInMarksOf(const Tokenizer& tokenizer) {
  for (const Family& family : kFamilies) {
    FillInMarks marks{family.prefix, family.suffix, family.middle, {}};
    for (const std::string& mark : {marks.prefix, marks.suffix, marks.middle}) {
      if (const auto id = tokenizer.TokenId(mark)) marks.ends.push_back(*id);
    }
    if (marks.ends.size() < 3) continue;
    for (const char* end : kEnds) {
      if (const auto id = tokenizer.TokenId(end)) marks.ends.push_back(*id);
    }
    return marks;
  }
  return std::nullopt;
}

std::string FillInPrompt(const FillInMarks& marks, std::string_view before,
                         std::string_view after) {
  std::string text = marks.prefix;
  text += before;
  text += marks.suffix;
  text += after;
  text += marks.middle;
  return text;
}

}  // namespace darkhorse
