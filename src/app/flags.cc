#include "app/flags.h"

#include <algorithm>

#include "app/output.h"
#include "base/file.h"

namespace darkhorse {
namespace {

std::string FlagName(const Field& field) {
  std::string flag = "--" + field.path;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

}  // namespace

std::map<std::string, Flag> AddFieldFlags(Command command, const FieldList& fields,
                                          const std::map<std::string, std::string>& names) {
  std::map<std::string, Flag> flags;
  for (const Field& field : fields.fields()) {
    const auto name = names.find(field.path);
    const std::string& flag = name == names.end() ? FlagName(field) : name->second;
    if (flag.empty()) continue;
    const auto add = [&](auto* value) { return command.Add(flag, *value, field.help); };
    flags.emplace(field.path, std::visit(add, field.value));
  }
  return flags;
}

void AddJsonFlag(Command command, bool* json) {
  command.Add("--json", *json, "print the result as one JSON object");
}

void TellOfNoRun(const std::string& out, bool resume) {
  if (resume && !FileExists(out + "/recipe.toml"))
    Note(out + " holds no run to go on with: starting one");
}

void CacheFlag::Register(Command command, const std::string& help) {
  command.Add("--cache", name, help).OneOf({"expanded", "latent"});
}

CacheForm CacheFlag::form() const {
  return name == "latent" ? CacheForm::kLatent : CacheForm::kExpanded;
}

void AddSamplingFlags(Command command, SamplingParams* sampling) {
  AddFieldFlags(command, FieldsOf(*sampling)).at("top_k").Within(0, INT32_MAX);
}

}  // namespace darkhorse
