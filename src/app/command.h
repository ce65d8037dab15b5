// The command line: commands, each with flags that set variables, and what they run. CLI11 parses
// it and is heavy to compile, so command.cc alone includes it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace darkhorse {

using FlagValue =
    std::variant<bool*, int*, int64_t*, uint64_t*, float*, double*, std::string*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*,
                 std::optional<int64_t>*, std::optional<double>*>;

// What a flag must be. A list's values must each be so.
class Flag {
 public:
  explicit Flag(CLI::Option* option) : option_(option) {}
  Flag& Required(bool required = true);
  Flag& Integer();  // for AddFunction; Add knows by the variable's type
  Flag& Within(int64_t low, int64_t high);
  Flag& WithinReals(double low, double high);
  Flag& OneOf(const std::vector<std::string>& values);
  Flag& OneValueEachTime();  // of a list: "--set a=1 --set b=2", not "--set a=1 b=2"

 private:
  CLI::Option* option_;
};

// A command of the program, or the program itself. Copies name the same command.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  // "--name", or "name" for an argument by position. The value, whose content is the default, must
  // live until the command has run.
  template <typename T>
  Flag Add(const std::string& name, T& value, const std::string& help) {
    return AddValue(name, &value, help);
  }
  // A flag whose text goes to a function. `type` and `standard` (the default) are for --help.
  Flag AddFunction(const std::string& name, std::function<void(const std::string&)> function,
                   const std::string& type, const std::string& standard, const std::string& help);
  Command AddCommand(const std::string& name, const std::string& help);
  void NeedsCommand();  // one of those added must be given
  void Footer(const std::string& text);
  void Runs(std::function<void()> run);  // unless one of the commands added is given
  std::vector<Command> Commands() const;

 private:
  Flag AddValue(const std::string& name, FlagValue value, const std::string& help);
  CLI::App* app_;
};

// The program. Run reads its arguments and calls what they name, or prints the help or version
// they ask for. UsageError: what is wrong, by the flag's name where a field has one, and for an
// unknown command or flag its hint, or the nearest known where one is near.
class Program {
 public:
  Program(const std::string& name, const std::string& version, const std::string& help);
  ~Program();
  Command command();
  // What to say of an unknown command or flag that this program does not have but others do.
  void AddHint(const std::string& name, const std::string& hint);
  void Run(std::vector<std::string> arguments);

 private:
  std::unique_ptr<CLI::App> app_;
  std::map<std::string, std::string> hints_;
};

}  // namespace darkhorse
