#include "app/evaluate_text.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "train/window_loss.h"

namespace darkhorse {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{1} << 28;

}  // namespace

void TextFlags::Register(Command command) {
  command.Add("--text", file,
              "text whose perplexity is measured as llama.cpp measures it: in windows, each judged "
              "on its second half; - for standard input");
  command
      .Add(
          "--window", window,
          fmt::format("tokens of a window of --text; by default {}, or the model's context if that "
                      "is less",
                      kWindow))
      .Within(4, INT32_MAX);
}

int64_t TextFlags::Window(int64_t context) const {
  return window.value_or(std::min(kWindow, context));
}

Json TextFlags::Measure(const LoadedModel& loaded, int64_t max_tokens) const {
  const std::string text =
      file == "-" ? ReadStandardInput(kMaxTextBytes) : ReadFileOrPipe(file, kMaxTextBytes);
  if (IsWideText(text)) Fail("--text {}: {}", file, kWideTextCure);
  const WindowOptions options{.window = Window(loaded.config().max_position_embeddings),
                              .max_tokens = max_tokens,
                              .bos = DocumentStartToken(loaded.config())};
  std::vector<int32_t> tokens =
      loaded.tokenizer().EncodeDocument(options.bos, text, /*allow_special=*/false);
  StatusLine status;
  const WindowLoss loss = LossOfWindows(
      loaded.model(), loaded.weights(), tokens, options,
      [&](const WindowLoss& so_far, int64_t windows) {
        status.Show(fmt::format("window {}/{} · perplexity {:.4f} ± {:.4f}", so_far.windows,
                                windows, so_far.perplexity(), so_far.perplexity_error()));
      });
  return {{"file", file},
          {"window", options.window},
          {"windows", loss.windows},
          {"loss", loss.loss},
          {"perplexity", loss.perplexity()},
          {"perplexity_error", loss.perplexity_error()},
          {"tokens", loss.tokens}};
}

}  // namespace darkhorse
