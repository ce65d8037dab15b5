#include "app/flags.h"

#include <algorithm>

namespace darkhorse {
namespace {

std::string FlagName(const Field& field) {
  std::string flag = "--" + field.path;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

}  // namespace

void AddFieldFlags(Command command, const FieldList& fields) {
  for (const Field& field : fields.fields()) {
    const std::string flag = FlagName(field);
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
  const FieldList list = FieldsOf(*sampling);
  for (const Field& field : list.fields()) {
    // Numbers by their type, so that the command line checks them like any other flag's.
    if (auto* const* value = std::get_if<float*>(&field.value)) {
      command.Add(FlagName(field), **value, field.help);
    } else {
      command.Add(FlagName(field), *std::get<int*>(field.value), field.help).Within(0, INT32_MAX);
    }
  }
}

}  // namespace darkhorse
