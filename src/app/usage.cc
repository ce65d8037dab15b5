#include "app/usage.h"

#include <fmt/format.h>

#include <algorithm>

namespace darkhorse {
namespace {

const CLI::App* DeepestParsed(const CLI::App* app) {
  while (true) {
    const auto parsed = app->get_subcommands();
    if (parsed.empty()) return app;
    app = parsed.back();
  }
}

std::string CommandPath(const CLI::App* app) {
  const CLI::App* parent = app->get_parent();
  return (parent ? CommandPath(parent) + " " : "") + app->get_name();
}

// Flags of the command and of those it falls through to.
std::vector<std::string> KnownFlags(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::vector<std::string> KnownSubcommands(const CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  return names;
}

std::string FirstUnknown(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  // Without a command, what stands where one should comes first; its flags are unknown because of
  // it.
  if (app.get_subcommands().empty() && !rest.empty() && !rest.front().starts_with("-"))
    return rest.front();
  const auto flag = std::find_if(rest.begin(), rest.end(),
                                 [](const std::string& text) { return text.starts_with("--"); });
  if (flag != rest.end()) return flag->substr(0, flag->find('='));
  return rest.empty() ? "" : rest.front();
}

std::string TypeName(const Field& field) {
  static constexpr const char* kNames[] = {"BOOL",  "INT",  "INT",     "UINT",      "FLOAT",
                                           "FLOAT", "TEXT", "INT,...", "FLOAT,...", "TEXT,..."};
  static_assert(std::size(kNames) == std::variant_size_v<FieldPointer>);
  return kNames[field.value.index()];
}

}  // namespace

std::string ExplainUsage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = DeepestParsed(&app);
  const std::string path = CommandPath(command);
  const std::string unknown = FirstUnknown(app);
  if (unknown.empty()) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    return fmt::format("{} (see {} --help)", message, path);
  }
  if (unknown.starts_with("-")) {
    const std::string nearest = NearestName(unknown, KnownFlags(command));
    const bool near = EditDistance(unknown, nearest) * 2 <= static_cast<int>(unknown.size());
    return fmt::format(
        "{}: unknown flag '{}'; {}", path, unknown,
        near ? fmt::format("did you mean '{}'?", nearest) : fmt::format("see {} --help", path));
  }
  const std::vector<std::string> subcommands = KnownSubcommands(command);
  if (subcommands.empty()) {
    return fmt::format("{}: unexpected '{}' (see {} --help)", path, unknown, path);
  }
  return fmt::format("{}: unknown command '{}'; did you mean '{}'?", path, unknown,
                     NearestName(unknown, subcommands));
}

void AddFieldFlags(CLI::App& command, const FieldList& fields) {
  for (const Field& field : fields.fields()) {
    std::string flag = "--" + field.path;
    std::replace(flag.begin(), flag.end(), '_', '-');
    if (auto* const* value = std::get_if<bool*>(&field.value)) {
      command.add_flag(flag, **value, field.help);
      continue;
    }
    const auto assign = [field](const std::string& text) { AssignText(field, text); };
    command.add_option_function<std::string>(flag, assign, field.help)
        ->type_name(TypeName(field))
        ->default_str(SpellValue(field));
  }
}

void AddSamplingFlags(CLI::App& command, SamplingParams* sampling) {
  command.add_option("--temperature", sampling->temperature, "0: the most probable token");
  command.add_option("--top-k", sampling->top_k, "keep the k most probable tokens; 0: all")
      ->check(CLI::Range(int32_t{0}, INT32_MAX));
  command.add_option("--top-p", sampling->top_p, "keep the most probable of this mass");
  command.add_option("--min-p", sampling->min_p, "keep those this near to the most probable one");
}

}  // namespace darkhorse
