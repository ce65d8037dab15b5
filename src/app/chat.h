// What the kinds of `darkhorse chat` share: its flags, and who answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "app/speculate_flag.h"
#include "app/weights_flag.h"
#include "infer/sampler.h"
#include "model/kv_cache.h"

namespace darkhorse {

struct ChatFlags {
  std::string model;  // with a URL the name of a model of the server's, or ""
  std::string url, key_file;
  WeightsFlag weights;
  std::optional<int64_t> max_tokens;  // none: what the context leaves
  std::optional<int64_t> max_reasoning_tokens;
  std::optional<int64_t> context;  // none: kStandardContext
  SamplingParams sampling = {.temperature = 0.6f};
  uint64_t seed = 0;
  SpeculateFlag speculate;
  std::optional<std::string> system;  // none: as in the run that the model lies in
  std::string thinking = "auto";
  std::string color = "auto";
  bool json = false;

  bool Colored() const;
};

// Answers one question after the other, each as it is said, on stdout.
class ChatPartner {
 public:
  virtual ~ChatPartner() = default;
  // Whether what was said before counts; otherwise each question stands alone.
  virtual bool remembers() const = 0;
  virtual void Clear() = 0;  // forgets it
  // `turn`: of those asked; the same questions in the same order get the same answers. Error: there
  // is no answer, and nothing was asked.
  virtual void Answer(const std::string& question, uint64_t turn) = 0;
};

// One that a server of OpenAI's API answers for. Error: it tells of no model.
std::unique_ptr<ChatPartner> MakeRemoteChat(const ChatFlags& flags);

}  // namespace darkhorse
