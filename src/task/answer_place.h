// Where a model that nobody trained on tags puts its answer, read strictly and leniently.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "task/task.h"

namespace darkhorse {

struct Extracted;  // task/markup.h

enum class AnswerPlace {
  kTags,        // <think>…</think><answer>…</answer>, as task/markup.h reads them
  kBoxed,       // the last \boxed{…}
  kHashes,      // behind the last ####, to the end of its line
  kLastNumber,  // the last number
  kChoice,      // the last capital that stands alone
};

std::vector<std::string> AnswerPlaceNames();  // "tags", "boxed", "hashes", "last_number", "choice"
// UsageError that names the nearest.
AnswerPlace ParseAnswerPlace(std::string_view name);

std::string_view AnswerPlaceName(AnswerPlace place);

// What asks a model to put it there, in English or Chinese.
std::string_view AnswerInstruction(AnswerPlace place, Words words = Words::kEnglish);
// A completion that puts it there and says nothing else.
std::string AnswerAt(AnswerPlace place, std::string_view answer);

// The answer that stands at this place and nowhere else. A completion may begin with a closed
// thought, in which none is looked for; one that is not closed leaves no answer. The result points
// into the completion. Linear time.
Extracted StrictAnswer(AnswerPlace place, std::string_view completion);

// The first of these that the judge takes for legal: the answer at its place, that between the last
// answer tags, the last box, what follows the last ####; and else the last resort: the last number,
// the last letter that stands alone or the last line, legal or not.
Extracted LenientAnswer(AnswerPlace place, const AnswerJudge& judge, std::string_view completion);

}  // namespace darkhorse
