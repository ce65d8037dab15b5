// The tags of a completion: what a model thinks, and what it answers.
#pragma once

#include <string_view>

namespace darkhorse {

inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";
inline constexpr std::string_view kAnswerOpen = "<answer>";
inline constexpr std::string_view kAnswerClose = "</answer>";

inline bool IsTag(std::string_view token) {
  return token == kThinkOpen || token == kThinkClose || token == kAnswerOpen ||
         token == kAnswerClose;
}

}  // namespace darkhorse
