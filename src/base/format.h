// Durations, counts, bytes and progress as text for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace darkhorse {

struct Progress {
  int64_t done = 0;
  int64_t total = 0;   // 0: unknown
  double seconds = 0;  // since the start of the work that `done` counts
};

std::string FormatDuration(double seconds);  // "0:42", "1:02:03", "3d 04:05:06"
std::string FormatCount(double count);       // three digits and k, M, G, T: "1.23M"
std::string FormatBytes(double bytes);       // three digits and KiB, MiB, ...: "1.50 GiB"
std::string Plural(int64_t count, std::string_view one);   // "token" of 1, else "tokens"
std::string Counted(int64_t count, std::string_view one);  // "1 token", "2 tokens"

// "42 % · 1.20M of 2.86M tokens · 31.4k tokens/s · ETA 0:53"; without a total the parts that need
// it are left out.
std::string FormatProgress(const Progress& progress, const std::string& unit);

}  // namespace darkhorse
