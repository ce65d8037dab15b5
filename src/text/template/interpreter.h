// A template of Jinja's language, as far as published chat templates use it (docs/templates.md),
// and its rendering within limits.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/context.h"
#include "text/template/tree.h"
#include "text/template/value.h"

namespace darkhorse::jinja {

// Immutable and cheap to copy; may be rendered from many threads at once.
class Template {
 public:
  // Error "<name>: line N: <what>".
  static Template Parse(std::string_view source, std::string name);

  using Variables = std::vector<std::pair<std::string, Value>>;
  // The text, each byte marked with where it came from. `variables` are made with `context`, which
  // serves one rendering. Error "<name>: line N: <what>": an undefined value used, a limit met,
  // raise_exception.
  MarkedText Render(Context& context, const Variables& variables) const;

  const std::string& name() const { return name_; }

 private:
  Template(std::string name, std::shared_ptr<const Block> body)
      : name_(std::move(name)), body_(std::move(body)) {}

  std::string name_;
  std::shared_ptr<const Block> body_;
};

}  // namespace darkhorse::jinja
