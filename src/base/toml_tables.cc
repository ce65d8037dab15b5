#include "base/toml_tables.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/error.h"
#include "base/toml.h"

namespace darkhorse {
namespace {

// Of a line that heads a table: what stands between the brackets, with as many of them as the
// header has; else 0 of them.
struct Header {
  int brackets = 0;
  std::string_view path;
};

Header HeaderOf(std::string_view line) {
  // A comment may follow.
  if (const size_t comment = line.find('#'); comment != line.npos) line = line.substr(0, comment);
  line = TrimAscii(line);
  for (const int brackets : {2, 1}) {
    const size_t n = static_cast<size_t>(brackets);
    if (line.size() <= 2 * n || !line.starts_with(std::string(n, '[')) ||
        !line.ends_with(std::string(n, ']')))
      continue;
    const std::string_view path = TrimAscii(line.substr(n, line.size() - 2 * n));
    // Else a list that goes over several lines.
    if (!path.empty() && IsAsciiLetter(path.front())) return {brackets, path};
  }
  return {};
}

// Follows a document line by line through the strings that go over several.
class Strings {
 public:
  // Whether a line begins inside one; and goes on to its end.
  bool Pass(std::string_view line) {
    const bool inside = !quotes_.empty();
    while (!line.empty()) {
      if (quotes_.empty()) {
        const size_t at = line.find_first_of("#\"'");
        if (at == line.npos || line[at] == '#') break;
        const std::string three(3, line[at]);
        if (line.substr(at).starts_with(three)) {
          quotes_ = three;
          line.remove_prefix(at + 3);
        } else {
          line.remove_prefix(EndOfShort(line, at));
        }
      } else {
        const size_t at = line.find_first_of("\\" + quotes_.substr(0, 1));
        if (at == line.npos) break;
        if (line[at] == '\\') {
          line.remove_prefix(std::min(at + (quotes_[0] == '"' ? 2 : 1), line.size()));
        } else if (line.substr(at).starts_with(quotes_)) {
          quotes_.clear();
          line.remove_prefix(at + 3);
        } else {
          line.remove_prefix(at + 1);
        }
      }
    }
    return inside;
  }

 private:
  // Behind the string of one line that begins at `at`.
  static size_t EndOfShort(std::string_view line, size_t at) {
    const char quote = line[at++];
    for (; at < line.size() && line[at] != quote; ++at) {
      if (line[at] == '\\' && quote == '"') ++at;
    }
    return std::min(at + 1, line.size());
  }

  std::string quotes_;  // that end the string; empty outside
};

}  // namespace

TomlParts SplitTables(std::string_view text, const std::string& name, const std::string& array) {
  const toml::table whole = ParsedToml(text, name);
  const toml::node* node = whole.get(array);
  if (node && !node->is_array_of_tables())
    FailUsage("{}: {} is no list of tables; head each with [[{}]]", name, array, array);
  TomlParts parts;
  std::string* now = &parts.rest;
  Strings strings;
  size_t line_number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const Header header = strings.Pass(line) ? Header() : HeaderOf(line);
    const std::string inside = array + ".";
    if (header.brackets == 2 && header.path == array) {
      now = &parts.tables.emplace_back();
      line.clear();
    } else if (header.brackets > 0 && header.path.starts_with(inside)) {
      const std::string brackets(static_cast<size_t>(header.brackets), '[');
      line = brackets + std::string(header.path.substr(inside.size())) +
             std::string(brackets.size(), ']');
    } else if (header.brackets > 0) {
      now = &parts.rest;
    }
    // What was written to the document before this line, in lines.
    const auto lines = static_cast<size_t>(std::ranges::count(*now, '\n'));
    now->append(line_number - lines, '\n');
    *now += line + "\n";
    ++line_number;
  }
  const size_t found = node ? node->as_array()->size() : 0;
  if (found != parts.tables.size())
    FailUsage("{}: head each table of {} with [[{}]] on a line of its own", name, array, array);
  return parts;
}

std::string TomlText(std::string_view text, const std::string& name, const std::string& key) {
  const toml::table table = ParsedToml(text, name);
  const toml::node* node = table.get(key);
  if (!node) return "";
  if (!node->is_string())
    FailUsage("{}:{}: {} must be a text in quotes", name, node->source().begin.line, key);
  return node->as_string()->get();
}

}  // namespace darkhorse
