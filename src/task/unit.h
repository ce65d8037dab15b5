// Units of measure and names of currencies, as they stand behind a number.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace darkhorse {

// The word of a unit that `text` begins with, as written.
std::string_view FirstUnitWord(std::string_view text);

// The sign of the currency that `word` names; "": none.
std::string_view CurrencyOf(std::string_view word);

// Whether `text` begins with a unit that may stand right behind the digits.
bool BeginsWithCloseUnit(std::string_view text);

// "km", "km/h", "/h", "red apples", "sq. ft": words with one space, slash or hyphen between, and
// perhaps a slash in front. Nothing for any other text.
std::optional<std::string> UnitOf(std::string_view text);

}  // namespace darkhorse
