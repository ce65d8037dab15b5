#include "app/flags.h"

#include <algorithm>
#include <filesystem>

#include "app/output.h"
#include "base/ascii.h"
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

std::map<std::string, std::string> FlagNames(const FieldList& fields) {
  std::map<std::string, std::string> names;
  for (const Field& field : fields.fields()) names[field.path] = FlagName(field);
  return names;
}

std::string WithFlags(const std::string& text, const std::map<std::string, std::string>& flags) {
  const auto in_name = [](char c) {
    return IsAsciiLetter(c) || (c >= '0' && c <= '9') || c == '_';
  };
  std::string told;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && (in_name(text[end]) || (text[end] == '.' && end + 1 < text.size() &&
                                                        in_name(text[end + 1]))))
      ++end;
    const std::string word = text.substr(begin, std::max<size_t>(end - begin, 1));
    const auto flag = flags.find(word);
    const auto joined = [](char c) { return c == '/' || c == '-'; };  // a part of a path
    const size_t behind = begin + word.size();
    const bool apart = (begin == 0 || !joined(text[begin - 1])) &&
                       (behind == text.size() || !joined(text[behind]));
    const bool is_name = flag != flags.end() && apart &&
                         (begin == 0 || word.find_first_of("_.") != std::string::npos);
    told += is_name ? flag->second : word;
    begin += word.size();
  }
  return told;
}

Teller NoteWithFlags(std::map<std::string, std::string> flags) {
  return [flags = std::move(flags)](const std::string& text) { Note(WithFlags(text, flags)); };
}

void AddJsonFlag(Command command, bool* json) {
  command.Add("--json", *json, "print the result as one JSON object");
}

void TellOfNoRun(const std::string& out, bool resume) {
  if (FileExists(out + "/recipe.toml")) return;
  if (resume) Note(out + " holds no run to go on with: starting one");
  std::error_code ignored;
  std::vector<std::string> others;
  for (const auto& entry : std::filesystem::directory_iterator(out, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.')) others.push_back(name);
  }
  if (others.empty()) return;
  std::ranges::sort(others);
  Note(fmt::format("{} holds other files ({}{}); the run is written beside them", out,
                   others.front(), others.size() > 1 ? ", …" : ""));
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
