// Any bytes as the model of a GGUF file: an Error, or a configuration whose parameters can all be
// read and a tokenizer that encodes.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/gguf_tokenizer.h"
#include "checkpoint/model_source.h"
#include "fuzz/scratch_file.h"
#include "model/weight_store.h"

namespace darkhorse {
namespace {

void Ignoring(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error&) {
  }
}

void ReadModel(const GgufFiles& files) {
  const ModelConfig config = ReadGgufConfig(files);
  const GgufTensors tensors(files);
  const ParamLayout layout(config);
  tensors.CheckLayout(layout);
  // Every tensor is there, so this is no larger than a few times the file.
  std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
  Ignoring([&] { ReadWeights(tensors, layout, weights.data()); });
  // As inference has them: the file's blocks as they are.
  ModelConfig main_model = config;
  main_model.num_nextn_predict_layers = 0;
  const WeightStore store(main_model, tensors, [&](const ParamSpec& param) {
    return WeightStore::AsStored(tensors, param);
  });
}

void ReadTokenizer(const GgufFiles& files) {
  const Tokenizer tokenizer = LoadGgufTokenizer(files.keys());
  ModelConfig config;
  SetTextEnds(files.keys(), tokenizer, &config);
  for (const int32_t id : tokenizer.Encode("the <|im_end|> 12\n\n e\xCC\x81 \xFF", true)) {
    CHECK(id >= 0 && id < tokenizer.vocab_size());
  }
  std::vector<int32_t> ids;
  tokenizer.Encode("<|im_end|><|endoftext|>", &ids, /*allow_special=*/false);
  for (const int32_t id : ids) CHECK(!tokenizer.IsSpecial(id));
}

}  // namespace
}  // namespace darkhorse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darkhorse;
  const std::string path = ScratchFile(data, size);
  Ignoring([&] {
    const GgufFiles files(path);
    Ignoring([&] { ReadModel(files); });
    Ignoring([&] { ReadTokenizer(files); });
  });
  return 0;
}
