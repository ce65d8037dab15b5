// toml++, whose assertions throw: of a table's name beyond ASCII they would end the program. All
// TOML is parsed by ParsedToml.
#pragma once

#include <string>
#include <string_view>

namespace darkhorse {
struct TomlAssertion {};
[[noreturn]] inline void FailTomlAssertion() { throw TomlAssertion(); }
}  // namespace darkhorse
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::darkhorse::FailTomlAssertion())
#include <toml++/toml.h>

namespace darkhorse {

// UsageError: file and line.
toml::table ParsedToml(std::string_view text, const std::string& name);

}  // namespace darkhorse
