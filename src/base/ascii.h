// Text as ASCII knows it: bytes beyond it are left alone.
#pragma once

#include <string>
#include <string_view>

namespace darkhorse {

std::string_view TrimAscii(std::string_view text);  // white space at both ends

bool IsAsciiLetter(char c);

std::string LowerAscii(std::string_view text);

// Every `from`, left to right; `from` is not empty.
void ReplaceAll(std::string& text, std::string_view from, std::string_view to);

}  // namespace darkhorse
