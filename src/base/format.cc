#include "base/format.h"

#include <fmt/format.h>

#include <cmath>

namespace darkhorse {
namespace {

// Three significant digits for 0 <= value < 1000 (integers below 1000 stay integers).
std::string ThreeDigits(double value) {
  if (value == std::floor(value)) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}", value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

}  // namespace

std::string FormatDuration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e12) return "?";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  const int64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
  if (days > 0) return fmt::format("{}d {:02}:{:02}:{:02}", days, hours, minutes, whole % 60);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string FormatCount(double count) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P"};
  size_t unit = 0;
  // 999.5 would print as 1000.
  for (; count >= 999.5 && unit + 1 < std::size(kUnits); ++unit) count /= 1000;
  return ThreeDigits(count) + kUnits[unit];
}

std::string FormatBytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1023.5 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return fmt::format("{} {}", ThreeDigits(bytes), kUnits[unit]);
}

std::string Plural(int64_t count, std::string_view one) {
  return fmt::format("{}{}", one, count == 1 ? "" : "s");
}

std::string Counted(int64_t count, std::string_view one) {
  return fmt::format("{} {}", count, Plural(count, one));
}

std::string FormatProgress(const Progress& progress, const std::string& unit) {
  const auto done = static_cast<double>(progress.done);
  const auto total = static_cast<double>(progress.total);
  std::string text = total > 0 ? fmt::format("{:.0f} % · {} of {} {}", 100 * done / total,
                                             FormatCount(done), FormatCount(total), unit)
                               : fmt::format("{} {}", FormatCount(done), unit);
  if (progress.seconds <= 0 || done <= 0) return text;
  text += fmt::format(" · {} {}/s", FormatCount(done / progress.seconds), unit);
  if (total > done) {
    text += " · ETA " + FormatDuration((total - done) * progress.seconds / done);
  }
  return text;
}

}  // namespace darkhorse
