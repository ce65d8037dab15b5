#include "pipeline/distil.h"

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {

void ListFields(DistilRecipe& r, FieldList& list) {
  ListFields(r.sampling, list);
  ListFields(r.finetuning, list);
}

void Validate(const DistilRecipe& r) {
  Validate(r.sampling);
  Validate(r.finetuning);
}

namespace {

// What the student has learned from stays what it was.
void RefuseOtherAnswers(const DistilRecipe& recipe, const std::string& out) {
  const std::string path = out + "/" + distil_files::kSamples + "/recipe.toml";
  if (!FileExists(path) || !FileExists(out + "/" + distil_files::kStudent + "/recipe.toml")) return;
  SampleRecipe before;
  ParseToml(ReadFile(path, 1 << 20), path, FieldsOf(before));
  const int64_t was = before.sample.problems, is = recipe.sampling.sample.problems;
  if (was == is) return;
  Fail(
      "{}: sample.problems was {} and is now {}, but the student has begun to learn from the "
      "answers; set it back, or choose another run directory",
      path, was, is);
}

}  // namespace

DistilResult Distil(const DistilRecipe& recipe, const std::string& teacher,
                    const std::string& student, const std::string& out,
                    const DistilCallbacks& callbacks) {
  Validate(recipe);
  RefuseOtherAnswers(recipe, out);
  DistilResult result;
  result.sampling = SampleAnswers(recipe.sampling, teacher, out + "/" + distil_files::kSamples,
                                  /*resume=*/true, callbacks.sampling);
  if (!result.sampling.finished) return result;
  if (result.sampling.selection.kept == 0) {
    Fail(
        "{}: none of the answers of {} ({}) was kept, so there is nothing to learn; its README.md "
        "counts why",
        out + "/" + distil_files::kSamples, teacher, result.sampling.selection.answers);
  }
  result.finetuning =
      Finetune(recipe.finetuning, student, {result.sampling.chats},
               out + "/" + distil_files::kStudent, /*resume=*/true, callbacks.finetuning);
  result.finished = result.finetuning.finished;
  return result;
}

}  // namespace darkhorse
