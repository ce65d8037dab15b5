#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

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

}  // namespace

std::string_view Normalize(const std::vector<NormalForm>& forms, std::string_view text,
                           std::string* buffer) {
  for (const NormalForm form : forms) {
    if (SurelyNormal(form, text)) continue;
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t size =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(text.size()), &mapped, Options(form));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
    if (size < 0)
      Fail("Unicode normalisation of {} bytes failed: {}", text.size(), utf8proc_errmsg(size));
    buffer->assign(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
    text = *buffer;
  }
  return text;
}

}  // namespace darkhorse
