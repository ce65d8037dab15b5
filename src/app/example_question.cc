#include "app/example_question.h"

#include "base/error.h"
#include "pipeline/recipe_around.h"
#include "rl/environment.h"

namespace darkhorse {

std::string ExampleQuestion(const std::string& model) {
  const auto around = FindRecipeAround(model);
  if (!around || !around->recipe.problems.file.empty()) return "";
  try {
    std::string prompt =
        MakeTaskEnvironment(around->recipe.rl.tasks)->HeldOut(1).front().front().prompt;
    if (prompt.ends_with('\n')) prompt.pop_back();
    return prompt.find('\n') == std::string::npos ? prompt : "";
  } catch (const Error&) {  // tasks of another version: no reason not to chat
    return "";
  }
}

}  // namespace darkhorse
