// `darkhorse evaluate --text`: the perplexity of a text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "app/command.h"
#include "app/output.h"
#include "pipeline/loaded_model.h"

namespace darkhorse {

struct TextFlags {
  std::string file;
  std::optional<int64_t> window;  // none: kWindow, or the model's context if that is less

  void Register(Command command);
  bool given() const { return !file.empty(); }
  int64_t Window(int64_t context) const;
  // Of the first `max_tokens` tokens. Error: a file that cannot be read, or is shorter than a
  // window.
  Json Measure(const LoadedModel& loaded, int64_t max_tokens) const;

  static constexpr int64_t kWindow = 512;
};

}  // namespace darkhorse
