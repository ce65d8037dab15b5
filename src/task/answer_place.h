// Where a model that nobody trained on tags puts its answer, read strictly and leniently.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "task/rules.h"

namespace darkhorse {

struct Extracted;  // task/markup.h

enum class AnswerPlace {
  kTags,        // <think>…</think><answer>…</answer>, as task/markup.h reads them
  kBoxed,       // the last \boxed{…}
  kHashes,      // behind the last ####, to the end of its line
  kLastNumber,  // the last number
};

std::vector<std::string> AnswerPlaceNames();  // "tags", "boxed", "hashes", "last_number"
// UsageError that names the nearest.
AnswerPlace ParseAnswerPlace(std::string_view name);

// What asks a model to put it there.
std::string_view AnswerInstruction(AnswerPlace place);

// The answer that stands at this place and nowhere else. A completion may begin with a closed
// thought, in which none is looked for; one that is not closed leaves no answer. The result points
// into the completion. Linear time.
Extracted StrictAnswer(AnswerPlace place, std::string_view completion);

// The first of these that the rule can read: the answer at its place, that between the last answer
// tags, the last box, what follows the last ####; and else, of the rules of numbers the last
// number, of choices the last letter that stands alone, of the others the last line.
Extracted LenientAnswer(AnswerPlace place, Rule rule, std::string_view completion);

// What the one or the other is worth (task/rules.h).
Score ScoreStrictly(AnswerPlace place, Rule rule, std::string_view completion,
                    std::string_view reference);
Score ScoreLeniently(AnswerPlace place, Rule rule, std::string_view completion,
                     std::string_view reference);

}  // namespace darkhorse
