#include "app/flags.h"

#include <algorithm>

namespace darkhorse {
void AddFieldFlags(Command command, const FieldList& fields) {
  for (const Field& field : fields.fields()) {
    std::string flag = "--" + field.path;
    std::replace(flag.begin(), flag.end(), '_', '-');
    if (auto* const* value = std::get_if<bool*>(&field.value)) {
      command.Add(flag, **value, field.help);
      continue;
    }
    const auto assign = [field](const std::string& text) { AssignText(field, text); };
    command.AddFunction(flag, assign, TypeOf(field).name, SpellValue(field), field.help);
  }
}

void AddJsonFlag(Command command, bool* json) {
  command.Add("--json", *json, "print the result as one JSON object");
}

void AddSamplingFlags(Command command, SamplingParams* sampling) {
  command.Add("--temperature", sampling->temperature, "0: the most probable token");
  command.Add("--top-k", sampling->top_k, "keep the k most probable tokens; 0: all")
      .Within(0, INT32_MAX);
  command.Add("--top-p", sampling->top_p, "keep the most probable of this mass");
  command.Add("--min-p", sampling->min_p, "keep those this near to the most probable one");
}

}  // namespace darkhorse
