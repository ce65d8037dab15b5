#include "data/json_template.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/json.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

// Receives the parser's events and keeps the wanted top-level values only.
class FieldPicker : public nlohmann::json_sax<Json> {
 public:
  FieldPicker(const std::vector<std::string>& names, std::string_view line)
      : names_(names), line_(line), values_(names.size()), wrong_type_(names.size(), nullptr) {}

  bool null() override { return Other("null"); }
  bool boolean(bool) override { return Other("a truth value"); }
  // Only -0 is no unsigned number and yet 0.
  bool number_integer(int64_t value) override {
    return Value(value == 0 ? "-0" : std::to_string(value));
  }
  bool number_unsigned(uint64_t value) override { return Value(std::to_string(value)); }
  bool number_float(double, const std::string& spelling) override { return Value(spelling); }
  bool string(std::string& value) override { return Value(std::move(value)); }
  bool binary(Json::binary_t&) override { return Other("binary data"); }
  bool start_object(size_t) override {
    if (depth_ > 0) Other("an object");
    is_object_ = true;
    ++depth_;
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ == 1 && is_object_ && (key_ == "messages" || key_ == "conversations")) chat_ = key_;
    if (depth_ > 0) Other("an array");
    ++depth_;
    return depth_ > 1 || is_object_;
  }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool key(std::string& name) override {
    if (depth_ == 1) key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    error_ = JsonFault(line_, position, error.what());
    return false;
  }

  std::string Problem(bool parsed) const {
    if (!error_.empty()) return error_;
    if (!parsed || !is_object_) return "not a JSON object";
    for (size_t i = 0; i < names_.size(); ++i) {
      if (wrong_type_[i] != nullptr && names_[i] == chat_) {
        return fmt::format(
            "field \"{}\" is a chat, not text; `finetune` reads chats, or write each as one text "
            "into "
            "a field",
            chat_);
      }
      if (wrong_type_[i] != nullptr) {
        return fmt::format("field \"{}\" is {}, not a string", names_[i], wrong_type_[i]);
      }
      if (!values_[i] && !chat_.empty()) {
        return fmt::format(
            "no field \"{}\", but \"{}\": a chat, not text; `finetune` reads chats, or write each "
            "as one text into a field",
            names_[i], chat_);
      }
      if (!values_[i]) return fmt::format("no field \"{}\"", names_[i]);
    }
    return "";
  }
  const std::string& value(size_t i) const { return *values_[i]; }

 private:
  bool Value(std::string value) {
    return Assign([&](size_t i) {
      values_[i] = value;
      wrong_type_[i] = nullptr;
    });
  }
  bool Other(const char* type) {
    return Assign([&](size_t i) { wrong_type_[i] = type; });
  }
  template <typename Set>
  bool Assign(const Set& set) {
    if (depth_ == 1 && is_object_) {
      for (size_t i = 0; i < names_.size(); ++i) {
        if (names_[i] == key_) set(i);
      }
    }
    return depth_ > 0;  // a bare value is not an object
  }

  const std::vector<std::string>& names_;
  std::string_view line_;
  std::vector<std::optional<std::string>> values_;
  std::vector<const char*> wrong_type_;
  std::string key_, error_;
  std::string chat_;  // the field that holds a list of messages; ""
  int64_t depth_ = 0;
  bool is_object_ = false;
};

}  // namespace

JsonTemplate JsonTemplate::Field(const std::string& name) {
  if (name.empty()) FailUsage("field is empty; name the JSON field that holds the text");
  JsonTemplate result;
  result.literals_ = {"", ""};
  result.fields_ = {name};
  return result;
}

JsonTemplate JsonTemplate::Parse(std::string_view text) {
  JsonTemplate result;
  std::string literal;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if ((c == '{' || c == '}') && next == c) {
      literal += c;
      ++i;
    } else if (c == '\\' && (next == 'n' || next == 't' || next == '\\')) {
      literal += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
      ++i;
    } else if (c == '{') {
      const size_t close = text.find('}', i);
      const std::string_view name = text.substr(i + 1, close - i - 1);
      if (close == std::string_view::npos || name.empty() || name.find('{') != name.npos) {
        FailUsage(
            "format \"{}\": the brace at character {} opens no {{field}}; write {{{{ for a brace",
            text, i + 1);
      }
      result.literals_.push_back(std::exchange(literal, ""));
      result.fields_.emplace_back(name);
      i = close;
    } else if (c == '}') {
      FailUsage("format \"{}\": stray brace at character {}; write }}}} for a brace", text, i + 1);
    } else {
      literal += c;
    }
  }
  if (result.fields_.empty()) {
    FailUsage("format \"{}\" names no field; write one as {{text}}", text);
  }
  result.literals_.push_back(literal);
  return result;
}

std::string JsonTemplate::Render(std::string_view line, std::string* document) const {
  FieldPicker picker(fields_, line);
  const bool parsed = Json::sax_parse(line.begin(), line.end(), &picker);
  if (std::string problem = picker.Problem(parsed); !problem.empty()) return problem;
  *document = literals_[0];
  for (size_t i = 0; i < fields_.size(); ++i) {
    *document += picker.value(i);
    *document += literals_[i + 1];
  }
  return "";
}

}  // namespace darkhorse
