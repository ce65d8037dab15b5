// Config structs. A struct's one field list drives its help, strict parsing, command-line
// overrides and printing; the defaults are the struct's own initialisers. To take part, a struct
// declares beside itself
//
//   void ListFields(Schedule& s, FieldList& list) {
//     list.Add("steps", s.steps, "optimizer steps in all");
//     list.Section("model", s.model, "the architecture");   // needs ListFields(Model&, FieldList&)
//   }
//
// and is read and written by
//
//   Schedule s;
//   ParseToml(text, "recipe.toml", FieldsOf(s));
//   SetField(FieldsOf(s), "model.hidden_size=512");
//   std::string toml = ToToml(s);
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/nearest_name.h"

namespace darkhorse {

using FieldPointer =
    std::variant<bool*, int*, int64_t*, uint64_t*, float*, double*, std::string*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*>;

struct Field {
  std::string path;  // "model.hidden_size"
  std::string help;
  FieldPointer value;  // where it lies in the struct; the list must not outlive the struct
};

// A member that is itself a struct with a field list.
struct FieldSection {
  std::string path;  // "model"
  std::string help;
  const void* address;  // where the struct lies, and how large and how aligned its type is
  size_t size, alignment;
};

// The field's type as an error names it behind "it must be": "an integer".
const char* TypeOf(const Field& field);

class FieldList {
 public:
  template <typename T>
  void Add(const std::string& name, T& value, const std::string& help) {
    fields_.push_back({prefix_ + name, help, &value});
  }
  template <typename T>
  void Section(const std::string& name, T& value, const std::string& help) {
    sections_.push_back({prefix_ + name, help, &value, sizeof(T), alignof(T)});
    const std::string outer = std::exchange(prefix_, prefix_ + name + ".");
    ListFields(value, *this);
    prefix_ = outer;
  }

  const std::vector<Field>& fields() const { return fields_; }
  const std::vector<FieldSection>& sections() const { return sections_; }
  const Field* Find(std::string_view path) const;        // nullptr if there is none
  std::string SectionHelp(std::string_view path) const;  // "" if there is none
  bool IsSection(std::string_view path) const;
  // Every field and section: what an unknown name is compared with.
  std::vector<std::string> Names() const;

 private:
  std::string prefix_;
  std::vector<Field> fields_;
  std::vector<FieldSection> sections_;
};

template <typename T>
FieldList FieldsOf(T& config) {
  FieldList list;
  ListFields(config, list);
  return list;
}

// Where a document, and what was set after it, gave fields their values: what is found wrong with
// them later is told with that place.
class FieldPlaces {
 public:
  // `name`: of the document.
  explicit FieldPlaces(std::string name) : name_(std::move(name)) {}
  void Set(const Field& field, std::string where);

  // `message` with its place in front, "r.toml:3: " or "setting rl.steps=0: ". The place is that of
  // the field that the message is about, where it begins "steps is 0; ..." or "rl.steps is 0; ...";
  // the field is then named as it was set. Of any other message, and of a field that kept its
  // default, the place is the document. `fields` are those that may be meant.
  std::string Tell(const FieldList& fields, std::string_view message) const;

 private:
  struct Place {
    std::string where, path;
  };
  std::string name_;
  std::map<const void*, Place> places_;  // by where the field lies
};

// Assigns the keys of a TOML document; keys that are absent keep their values. UsageError: file and
// line, and for an unknown key the nearest known one.
void ParseToml(std::string_view text, const std::string& name, const FieldList& fields,
               FieldPlaces* places = nullptr);

// Names at the top level of a TOML document: they tell which struct it is for. UsageError.
std::vector<std::string> TomlKeys(std::string_view text, const std::string& name);

// Assigns one field from "path=value", as in `--set model.hidden_size=512`. Lists are comma
// separated, with or without brackets. UsageError: names the path, the value and the cure.
void SetField(const FieldList& fields, std::string_view assignment, FieldPlaces* places = nullptr);

// Assigns one field from a JSON value; false, and nothing is assigned, if the value does not fit
// its type. TypeOf(field) says what would.
bool AssignJson(const Field& field, const nlohmann::ordered_json& value);

// The fields as one JSON object, in the order of the list; a section is an object in it.
nlohmann::ordered_json FieldsToJson(const FieldList& fields);

// A TOML document that ParseToml reads back; with `help`, every line says what the field is.
std::string FieldsToToml(const FieldList& fields, bool help);

template <typename T>
std::string ToToml(const T& config) {
  T copy = config;
  return FieldsToToml(FieldsOf(copy), /*help=*/false);
}

// Every field with its default and what it means: the text of `--help`.
template <typename T>
std::string FieldsHelp() {
  T defaults;
  return FieldsToToml(FieldsOf(defaults), /*help=*/true);
}

}  // namespace darkhorse
