#include "app/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/nearest_name.h"

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

// What is wrong with the command line that `app` failed to parse.
std::string ExplainUsage(const CLI::App& app, const CLI::ParseError& error,
                         const std::map<std::string, std::string>& hints) {
  const CLI::App* command = DeepestParsed(&app);
  const std::string path = CommandPath(command);
  const std::string unknown = FirstUnknown(app);
  if (unknown.empty()) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    return fmt::format("{} (see {} --help)", message, path);
  }
  const bool flag = unknown.starts_with("-");
  const std::vector<std::string> subcommands = KnownSubcommands(command);
  if (!flag && subcommands.empty())
    return fmt::format("{}: unexpected '{}' (see {} --help)", path, unknown, path);
  const std::string what = fmt::format("{}unknown {} '{}'", command == &app ? "" : path + ": ",
                                       flag ? "flag" : "command", unknown);
  if (const auto hint = hints.find(unknown); hint != hints.end())
    return fmt::format("{}: {}", what, hint->second);
  const std::string near = DidYouMean(unknown, flag ? KnownFlags(command) : subcommands);
  if (!near.empty()) return what + near;
  return flag ? fmt::format("{}; see {} --help", what, path)
              : fmt::format("{}; there are {}", what, fmt::join(subcommands, ", "));
}

// Libraries name fields: "max_tokens is -1; ..." is told of the flag that sets it, if there is one.
std::string WithFlagName(const CLI::App& app, const std::string& message) {
  const size_t end = message.find(' ');
  if (end == std::string::npos) return message;
  std::string flag = "--" + message.substr(0, end);
  std::replace(flag.begin(), flag.end(), '_', '-');
  const std::vector<std::string> known = KnownFlags(DeepestParsed(&app));
  return std::ranges::count(known, flag) > 0 ? flag + message.substr(end) : message;
}

// Numbers are decimal and finite: CLI11, which converts what this lets through, takes 010 for 8,
// and -1 for the largest unsigned one.
template <typename T>
std::string WhyNoNumber(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) {
    const size_t first = text.find_first_not_of('-');
    const bool octal = text[first] == '0' && first + 1 < text.size();
    if (std::is_integral_v<T> && octal) return fmt::format("write {} without leading zeros", text);
    if constexpr (std::is_integral_v<T>) return "";
    if (std::isfinite(static_cast<double>(value))) return "";
  }
  if constexpr (!std::is_integral_v<T>) return fmt::format("'{}' is not a number", text);
  if (error == std::errc::result_out_of_range) return fmt::format("{} is too far from 0", text);
  return fmt::format("'{}' is not an integer{}", text, std::is_signed_v<T> ? "" : " of at least 0");
}

template <typename T>
struct NumberOf {
  using type = T;
};
template <typename T>
struct NumberOf<std::vector<T>> : NumberOf<T> {};
template <typename T>
struct NumberOf<std::optional<T>> : NumberOf<T> {};

}  // namespace

Flag& Flag::Required(bool required) {
  option_->required(required);
  return *this;
}

Flag& Flag::Integer() {
  option_->check(WhyNoNumber<int64_t>, "");
  return *this;
}

Flag& Flag::Within(int64_t low, int64_t high) {
  option_->check(CLI::Range(low, high));
  return *this;
}

Flag& Flag::WithinReals(double low, double high) {
  option_->check(CLI::Range(low, high));
  return *this;
}

Flag& Flag::OneOf(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

Flag& Flag::OneValueEachTime() {
  option_->allow_extra_args(false);
  return *this;
}

Flag Command::AddValue(const std::string& name, FlagValue value, const std::string& help) {
  return std::visit(
      [&](auto* target) {
        if constexpr (std::is_same_v<decltype(target), bool*>) {
          return Flag(app_->add_flag(name, *target, help));
        } else {
          CLI::Option* option = app_->add_option(name, *target, help);
          using Number = typename NumberOf<std::remove_pointer_t<decltype(target)>>::type;
          if constexpr (std::is_arithmetic_v<Number>) {
            option->check(WhyNoNumber<Number>, "");
          }
          return Flag(option);
        }
      },
      value);
}

Flag Command::AddFunction(const std::string& name, std::function<void(const std::string&)> function,
                          const std::string& type, const std::string& standard,
                          const std::string& help) {
  return Flag(app_->add_option_function<std::string>(name, function, help)
                  ->type_name(type)
                  ->default_str(standard));
}

Command Command::AddCommand(const std::string& name, const std::string& help) {
  return Command(app_->add_subcommand(name, help));
}

void Command::NeedsCommand() { app_->require_subcommand(1); }

void Command::Footer(const std::string& text) { app_->footer(text); }

void Command::Runs(std::function<void()> run) {
  app_->callback([app = app_, run = std::move(run)] {
    if (app->get_subcommands().empty()) run();
  });
}

std::vector<Command> Command::Commands() const {
  std::vector<Command> commands;
  for (CLI::App* command : app_->get_subcommands([](CLI::App*) { return true; }))
    commands.emplace_back(command);
  return commands;
}

Program::Program(const std::string& name, const std::string& version, const std::string& help)
    : app_(std::make_unique<CLI::App>(help, name)) {
  app_->set_version_flag("--version", version, "print the version");
  app_->option_defaults()->always_capture_default();  // commands inherit it
}

Program::~Program() = default;

Command Program::command() { return Command(app_.get()); }

void Program::AddHint(const std::string& name, const std::string& hint) { hints_[name] = hint; }

void Program::Run(std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app_->parse(arguments);
  } catch (const CLI::Success& success) {  // --help, --version
    app_->exit(success);
  } catch (const CLI::ParseError& error) {
    FailUsage("{}", ExplainUsage(*app_, error, hints_));
  } catch (const UsageError& error) {
    FailUsage("{}", WithFlagName(*app_, error.what()));
  }
}

}  // namespace darkhorse
