#include "pipeline/sample_card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

namespace darkhorse {
namespace {

double Share(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// A line of a table where there is something to count.
std::string CountLine(const std::string& what, int64_t count) {
  return count == 0 ? "" : fmt::format("| {} | {} |\n", what, count);
}

}  // namespace

std::string SampleCard(const SampleRecipe& recipe, const std::string& model,
                       const std::string& shown, const Selection& s) {
  const std::string asked = recipe.problems.file.empty()
                                ? fmt::format("{}", fmt::join(recipe.sample.tasks, ", "))
                                : std::filesystem::path(recipe.problems.file).filename().string();
  std::string card = "---\nconfigs:\n- config_name: default\n  data_files: chats.jsonl\n---\n";
  card += fmt::format(
      "# Right answers of {} to {}\n\n"
      "`chats.jsonl` has a chat a line: `messages` as the model was asked and answered, beside "
      "them the `problem`, the reference `answer`, the `task`, the `reward`, how many `tokens` "
      "were said, and which draw it was (`seed`, the problem's `number`, the `sample`). "
      "`samples.jsonl` has all answers, wrong ones too.\n\n",
      model, asked);
  card += "| | |\n|---|---|\n";
  card += fmt::format("| model | {} |\n", shown);
  card += fmt::format("| problems | {}, of which {} were solved and {} are here |\n", s.problems,
                      s.solved, s.covered);
  card += fmt::format("| answers | {}, of which {} ({:.1f} %) are right |\n", s.answers, s.right,
                      100 * Share(s.right, s.answers));
  card += fmt::format("| chats | {} |\n", s.kept);
  if (s.kept > 0) {
    card += fmt::format("| tokens of their answers | {}: {:.1f} each, from {} to {} |\n", s.tokens,
                        Share(s.tokens, s.kept), s.shortest, s.longest);
  }
  card += "\nAnswers left out, each for the first of these reasons:\n\n| | |\n|---|---|\n";
  const Rejections& r = s.rejected;
  card += CountLine("their scorer failed", r.unscored) + CountLine("wrong", r.wrong) +
          CountLine("right, but cut off", r.cut_off) +
          CountLine(
              "not readable: not UTF-8, a thought that is not closed, nothing said, an end "
              "that repeats itself",
              r.unreadable) +
          CountLine("too short", r.too_short) + CountLine("too long", r.too_long) +
          CountLine("in another script", r.other_script) +
          CountLine("the same text as another answer to the problem", r.repeated) +
          CountLine("more than are kept of a problem", r.surplus);
  SampleRecipe settings = recipe;  // the same wherever the file lies
  settings.problems.file = recipe.problems.file.empty() ? "" : asked;
  return card + "\nSettings:\n\n```toml\n" + ToToml(settings) + "```\n";
}

}  // namespace darkhorse
