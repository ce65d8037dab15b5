// Unicode normalisation of text before it is split.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Applies the forms in order to valid UTF-8. Returns `text` itself where nothing changes, else a
// view of *buffer.
std::string_view Normalize(const std::vector<NormalForm>& forms, std::string_view text,
                           std::string* buffer);

}  // namespace darkhorse
