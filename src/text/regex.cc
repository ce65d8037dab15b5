#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace darkhorse {

namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
constexpr uint32_t kHeapLimitKib = 256 << 10;
constexpr size_t kJitStackBytes = 1 << 20;
// A harmless pattern takes a step or two for each byte it swallows.
constexpr uint64_t kMatchStepsPerByte = 8;

// What a thread needs to match. One match's offsets are copied out before the next, so all patterns
// share it.
struct MatchScratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr);

  MatchScratch() {
    CHECK(data != nullptr && context != nullptr && stack != nullptr);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~MatchScratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

MatchScratch& Scratch() {
  thread_local MatchScratch scratch;
  return scratch;
}

std::string ErrorText(int code) {
  char buffer[256] = "";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof buffer);
  return buffer;
}

std::shared_ptr<const void> Compile(const std::string& pattern, const std::string& translated,
                                    const std::string& where) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MULTILINE: ^ and $ match at lines in Oniguruma's Ruby syntax. NEVER_BACKSLASH_C: \C could split
  // a character.
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                   translated.size(), options, &error, &offset, nullptr);
  if (code == nullptr) {
    Fail("{}: the pattern \"{}\" is not a regular expression PCRE2 knows: {}", where, pattern,
         ErrorText(error));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT, pcre2_match interprets
  return std::shared_ptr<const void>(
      code, [](const void* p) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(p))); });
}

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where, uint32_t match_limit)
    : where_(where), match_limit_(match_limit) {
  if (pattern.size() > kMaxPatternBytes) {
    Fail("{}: the pattern is {} bytes long, more than {}: shorten it", where, pattern.size(),
         kMaxPatternBytes);
  }
  if (!IsValidUtf8(pattern)) Fail("{}: the pattern is not UTF-8", where);
  const std::string plain = TranslatePattern(pattern, /*newer=*/false);
  const std::string newer = TranslatePattern(pattern, /*newer=*/true);
  code_ = Compile(pattern, plain, where);
  newer_ = newer == plain ? code_ : Compile(pattern, newer, where);
}

bool Regex::Search(std::string_view text, size_t start, bool newer, TextRange* match) const {
  MatchScratch& scratch = Scratch();
  const uint64_t limit = match_limit_ + kMatchStepsPerByte * text.size();
  pcre2_set_match_limit(scratch.context,
                        static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
  const auto* code = static_cast<const pcre2_code*>((newer ? newer_ : code_).get());
  const auto run = [&](uint32_t options) {
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                       options | PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
  };
  int result = run(0);
  // The interpreter backtracks on the heap, which may be larger than the JIT's stack.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) {
    Fail(
        "{}: matching the pattern at byte {} of a text failed: {}: use a pattern that backtracks "
        "less",
        where_, start, ErrorText(result));
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data);
  // \K inside a look-around can put the end before the start.
  if (offsets[0] > offsets[1] || offsets[0] < start)
    Fail("{}: \\K in the pattern is not supported", where_);
  *match = {offsets[0], offsets[1]};
  return true;
}

bool RegexMatches::Next(TextRange* match) {
  while (start_ <= text_.size() && regex_.Search(text_, start_, newer_, match)) {
    start_ = match->end;
    if (match->begin != match->end || match->end != last_end_) {
      last_end_ = match->end;
      return true;
    }
    start_ += start_ < text_.size() ? Utf8Length(text_[start_]) : 1;
  }
  return false;
}

}  // namespace darkhorse
