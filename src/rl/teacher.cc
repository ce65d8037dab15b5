#include "rl/teacher.h"

#include "base/error.h"

namespace darkhorse {
namespace {

ModelConfig MainModel(ModelConfig config) {
  config.num_nextn_predict_layers = 0;  // modules for training
  return config;
}

WeightStore::Choose AsStored(const ModelSource& source) {
  return [&source](const ParamSpec& param) { return WeightStore::AsStored(source, param); };
}

int64_t BytesOf(const ModelSource& source) {
  return WeightStore::Bytes(MainModel(source.config()), source, AsStored(source));
}

std::string Shown(const Tokenizer& tokenizer, int32_t id) {
  return Printable(tokenizer.TokenBytes(id), 40);
}

}  // namespace

void RequireSameVocabulary(const Tokenizer& teacher, const std::string& teacher_name,
                           const Tokenizer& student, const std::string& name) {
  for (int32_t id = 0; id < student.vocab_size(); ++id) {
    if (student.TokenBytes(id).empty()) continue;
    const bool known = id < teacher.vocab_size();
    if (known && teacher.TokenBytes(id) == student.TokenBytes(id)) continue;
    Fail(
        "{}: has another vocabulary than {}: token {} is '{}' there and {} here; a teacher that "
        "judges the student's tokens must have the same; one of another kind can write answers for "
        "it to learn",
        teacher_name, name, id, Shown(student, id),
        known ? fmt::format("'{}'", Shown(teacher, id)) : "none");
  }
}

int64_t Teacher::Bytes(const std::string& path) { return BytesOf(*OpenModel(path)); }

int64_t Teacher::bytes() const { return BytesOf(*source_); }

Teacher::Teacher(const std::string& path, const Tokenizer& student, const std::string& student_name)
    : path_(path),
      source_([&] {
        auto source = OpenModel(path);
        RequireSameVocabulary(source->ReadTokenizer(), path, student, student_name);
        return source;
      }()),
      model_(MainModel(source_->config())),
      weights_(model_.config(), *source_, AsStored(*source_)) {}

std::vector<std::vector<float>> Teacher::Logps(std::span<const PolicySample> samples,
                                               const Packing& packing) {
  const int64_t context = model_.config().max_position_embeddings;
  for (const PolicySample& policy : samples) {
    const Sample& s = *policy.sample;
    const auto tokens = static_cast<int64_t>(s.prompt.size() + s.completion.size());
    if (tokens - 1 > context) {
      Fail("{}: the teacher's context holds {} tokens, a sample has {}; lower rl.max_tokens", path_,
           context, tokens);
    }
  }
  return CompletionLogps(model_, weights_.model(), packing, arena_, samples);
}

}  // namespace darkhorse
