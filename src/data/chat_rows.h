// Chats from files of JSON rows, in the forms that people have them in. docs/finetune.md lists the
// columns.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace darkhorse {

struct Chat {
  // As a chat template takes them: objects with `role` and `content`, a thought in
  // `reasoning_content`, and what else they came with, such as `tool_calls`. At least one is the
  // assistant's, and each of those says something.
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  nlohmann::ordered_json tools;  // an array, or null: none
};

struct ChatCounts {
  int64_t rows = 0;
  int64_t chats = 0;
  // Of rows with several answers that were verified: those that were wrong or not finished, and
  // rows that have no other.
  int64_t wrong_answers = 0, rows_without_answer = 0;
};

// Calls `use` with each chat of the files, in order. Files and folders as FindCorpusFiles
// (data/corpus.h) takes them, but no plain text. An Error of `use` is one of its row. Error: the
// first ten rows of a file that are no chats, with file, line and what is wrong, and how many
// there are.
ChatCounts ForEachChat(const std::vector<std::string>& paths,
                       const std::function<void(const Chat& chat)>& use);

}  // namespace darkhorse
