// Rejection: which of a teacher's answers are kept to learn from. Pure over the lines of a file, so
// that what is kept depends on nothing but the answers and the recipe.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "pipeline/sample_recipe.h"
#include "task/task.h"

namespace darkhorse {

// An answer to a problem, before anyone has chosen.
struct WrittenAnswer {
  std::string text;
  int64_t tokens = 0;      // the end mark included
  bool truncated = false;  // ran out of room
  bool repeats = false;    // its end repeats itself
  Score score;
};

// A problem with the answers to it, as samples.jsonl has them: a line of the number `step`, from 1.
// asked: messages, as chats have them.
nlohmann::ordered_json AnswersLine(int64_t step, const Problem& problem,
                                   const nlohmann::ordered_json& asked,
                                   std::span<const WrittenAnswer> answers);

// Whether people, and what is to learn from it, can read the text: it is UTF-8, says something and
// closes the thought that it begins with.
bool IsReadable(std::string_view text);

// What became of a teacher's answers. Each is counted once: kept, or by the first of these reasons.
struct Rejections {
  int64_t unscored = 0;    // their scorer failed
  int64_t wrong = 0;       // or right where strictness does not look
  int64_t cut_off = 0;     // right from here on
  int64_t unreadable = 0;  // not IsReadable, or the end repeats itself
  int64_t too_short = 0, too_long = 0;
  int64_t other_script = 0;
  int64_t repeated = 0;  // the text of an answer to the same problem that passed
  int64_t surplus = 0;   // as many as are kept of a problem came before them
};

struct Selection {
  int64_t problems = 0, solved = 0, covered = 0;  // solved: a right answer; covered: one kept
  int64_t answers = 0, right = 0, kept = 0;
  int64_t tokens = 0, shortest = 0, longest = 0;  // of those kept
  Rejections rejected;
};

// Writes a row of chats (docs/finetune.md) for each answer kept of the file `samples`, whole or not
// at all. Error: a line that is damaged, a full disk.
Selection SelectAnswers(const SampleRecipe& recipe, const std::string& samples,
                        const std::string& chats);

}  // namespace darkhorse
