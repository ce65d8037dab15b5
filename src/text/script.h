// Which script a text is written in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

std::vector<std::string> ScriptNames();  // "latin", "han", "kana", "hangul", "cyrillic", …

// The share of the text's letters that are of the script, a name of those. Letters are those of any
// script named; digits, signs, TeX's commands and tags (text/tags.h) count for none, and a text
// without a letter is all of it. Bytes that are not UTF-8 end the text. Linear time.
double ScriptShare(std::string_view text, std::string_view script);

}  // namespace darkhorse
