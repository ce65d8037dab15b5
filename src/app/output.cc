#include "app/output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

std::string SpellForPeople(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.4g}", value.get<double>());
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const Json& part : value)
      parts.push_back(part.is_string() ? part.dump() : SpellForPeople(part));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void AppendForPeople(const Json& object, const std::string& indent, std::string* out) {
  size_t width = 0;
  for (const auto& [name, value] : object.items()) width = std::max(width, name.size());
  const auto nested = [&](const std::string& heading, const Json& value) {
    *out += fmt::format("{}{}\n", indent, heading);
    AppendForPeople(value, indent + "  ", out);
  };
  for (const auto& [name, value] : object.items()) {
    if (value.is_object()) {
      nested(name, value);
    } else if (value.is_array() && !value.empty() && value.front().is_object()) {
      for (size_t i = 0; i < value.size(); ++i) nested(fmt::format("{} {}", name, i + 1), value[i]);
    } else {
      *out += fmt::format("{}{:<{}}  {}\n", indent, name, width, SpellForPeople(value));
    }
  }
}

int64_t TerminalColumns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

static void PrintExactly(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void PrintText(std::string_view text) {
  static const bool terminal = isatty(STDOUT_FILENO);
  PrintExactly(terminal ? EscapedForTerminal(text) : text);
}

std::string ResultText(const Json& result, bool json) {
  if (json) return result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  std::string text;
  AppendForPeople(result, "", &text);
  return EscapedForTerminal(text);
}

void PrintResult(const Json& result, bool json) { PrintExactly(ResultText(result, json)); }

std::string FirstColumns(const std::string& text, int64_t columns) {
  size_t end = 0;
  for (int64_t shown = 0; end < text.size() && shown + 1 < columns; ++shown) {
    ++end;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
  }
  return text.substr(0, end);
}

std::string FirstItems(const std::string& text, int64_t columns) {
  std::string items = text;
  while (FirstColumns(items, columns) != items) {
    const size_t last = items.rfind(" · ");
    if (last == std::string::npos) break;
    items.resize(last);
  }
  return FirstColumns(items, columns);
}

void Note(const std::string& text) {
  // A status line that the cursor stands behind makes way; it is shown again at its next change.
  std::fprintf(stderr, "%sdarkhorse: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "",
               Printable(text, text.size()).c_str());
}

StatusLine::StatusLine(std::function<double()> now)
    : now_(std::move(now)), terminal_(isatty(STDERR_FILENO)), next_(now_()) {}

StatusLine::~StatusLine() {
  if (!held_.empty()) Print(held_);
  if (open_) std::fputc('\n', stderr);
}

void StatusLine::Show(const std::string& text) {
  const double now = now_();
  if (now < next_) {
    held_ = text;
    return;
  }
  Print(text);
  next_ = now + (terminal_ ? 0.1 : 10);
}

void StatusLine::Print(const std::string& line) {
  const std::string text = Printable(line, line.size());
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", FirstItems(text, TerminalColumns()).c_str());
    std::fflush(stderr);
    open_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  held_.clear();  // last: it may be the line itself
}

}  // namespace darkhorse
