#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"

namespace darkhorse {

namespace {

// Every form leaves ASCII alone, and NFC leaves everything below U+0300 (first byte 0xCC) alone: no
// character there composes with a neighbour that is itself below.
bool SurelyNormal(NormalForm form, std::string_view text) {
  const int limit = form == NormalForm::kNfc ? 0xCC : 0x80;
  return std::all_of(text.begin(), text.end(),
                     [&](char byte) { return static_cast<uint8_t>(byte) < limit; });
}

utf8proc_option_t Options(NormalForm form) {
  switch (form) {
    case NormalForm::kNfc:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    case NormalForm::kNfd:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    case NormalForm::kNfkc:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    case NormalForm::kNfkd:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  }
  return UTF8PROC_STABLE;
}

int Decompose(int32_t character, NormalForm form, int32_t* out, int64_t room) {
  int boundary = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(character, out, room, Options(form), &boundary);
  CHECK(count >= 0 && count <= room);
  return static_cast<int>(count);
}

bool MayMove(int32_t character) { return utf8proc_get_property(character)->combining_class != 0; }

// The decomposition of Unicode's UAX #15: every character's own, then each run of combining marks
// sorted by class, those of one class in their order. (utf8proc_map sorts by exchanges, which takes
// quadratic time in a run of marks.)
std::vector<int32_t> Decomposed(NormalForm form, std::string_view text) {
  constexpr int64_t kLongest = 32;  // the longest decomposition, U+FDFA's, has 18 characters
  std::vector<int32_t> out;
  out.reserve(text.size() + kLongest);
  for (size_t at = 0; at < text.size();) {
    int32_t character = 0;
    const utf8proc_ssize_t bytes =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                         static_cast<utf8proc_ssize_t>(text.size() - at), &character);
    if (bytes < 0) Fail("Unicode normalisation failed: {}", utf8proc_errmsg(bytes));
    at += static_cast<size_t>(bytes);
    int32_t parts[kLongest];
    out.insert(out.end(), parts, parts + Decompose(character, form, parts, kLongest));
  }
  for (auto begin = out.begin(); begin != out.end();) {
    begin = std::find_if(begin, out.end(), MayMove);
    const auto end = std::find_if_not(begin, out.end(), MayMove);
    if (end - begin > 1) {
      std::stable_sort(begin, end, [](int32_t a, int32_t b) {
        return utf8proc_get_property(a)->combining_class <
               utf8proc_get_property(b)->combining_class;
      });
    }
    begin = end;
  }
  return out;
}

}  // namespace

std::string_view Normalize(const std::vector<NormalForm>& forms, std::string_view text,
                           std::string* buffer) {
  for (const NormalForm form : forms) {
    if (SurelyNormal(form, text)) continue;
    std::vector<int32_t> characters = Decomposed(form, text);
    const auto count = static_cast<utf8proc_ssize_t>(characters.size());
    characters.push_back(0);  // where reencode ends its text
    const utf8proc_ssize_t size = utf8proc_reencode(characters.data(), count, Options(form));
    if (size < 0) Fail("Unicode normalisation failed: {}", utf8proc_errmsg(size));
    buffer->assign(reinterpret_cast<const char*>(characters.data()), static_cast<size_t>(size));
    text = *buffer;
  }
  return text;
}

}  // namespace darkhorse
