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

DistilResult Distil(const DistilRecipe& recipe, const std::string& teacher,
                    const std::string& student, const std::string& out,
                    const DistilCallbacks& callbacks) {
  Validate(recipe);
  DistilResult result;
  result.sampling = SampleAnswers(recipe.sampling, teacher, out + "/" + distil_files::kSamples,
                                  /*resume=*/true, callbacks.sampling);
  if (!result.sampling.finished) return result;
  if (result.sampling.selection.kept == 0) {
    Fail(
        "{}: none of the {} answers of {} was kept, so there is nothing to learn; its README.md "
        "counts why",
        out + "/" + distil_files::kSamples, result.sampling.selection.answers, teacher);
  }
  result.finetuning =
      Finetune(recipe.finetuning, student, {result.sampling.chats},
               out + "/" + distil_files::kStudent, /*resume=*/true, callbacks.finetuning);
  result.finished = result.finetuning.finished;
  return result;
}

}  // namespace darkhorse
