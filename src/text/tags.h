// Marks of documents, and the tags of a completion: what a model thinks, and what it answers.
#pragma once

#include <string_view>

namespace darkhorse {

// How a document begins and ends unless something else is asked for: DeepSeek's spellings.
inline constexpr std::string_view kBeginOfDocument = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view kEndOfDocument = "<｜end▁of▁sentence｜>";

inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";
inline constexpr std::string_view kAnswerOpen = "<answer>";
inline constexpr std::string_view kAnswerClose = "</answer>";

inline bool IsTag(std::string_view token) {
  return token == kThinkOpen || token == kThinkClose || token == kAnswerOpen ||
         token == kAnswerClose;
}

}  // namespace darkhorse
