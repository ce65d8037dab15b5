// The reference and the fast model against what transformers computed with the same weights
// (tests/golden/model_*.json, written by tools/make_model_golden.py). transformers computes in f32
// too, so a value may differ from the reference by the derived bound once and from the fast model
// by it twice.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/arena.h"
#include "kernel/linear.h"
#include "model/config_fields.h"
#include "model/reference_cases_testing.h"
#include "model/reference_gradient_testing.h"
#include "model/transformer.h"

namespace darkhorse {
namespace {

using nlohmann::json;

struct Golden {
  ReferenceCase c;
  std::vector<std::vector<double>> logits;    // [T][vocab]
  std::vector<std::vector<double>> mtp_logp;  // [module][row] log p(token row + 2 + module)
};

// Every field that the file has; null says that there is no such thing, which is our default.
ModelConfig ReadConfig(const nlohmann::ordered_json& config) {
  ModelConfig out;
  const FieldList fields = FieldsOf(out);
  const auto read = [&](const std::string& path, const nlohmann::ordered_json& value) {
    const Field* field = fields.Find(path);
    EXPECT_TRUE(field && AssignJson(*field, value)) << path << " = " << value;
  };
  for (const auto& [name, value] : config.items()) {
    if (value.is_null()) continue;
    if (!value.is_object()) read(name, value);
    for (const auto& [inner, number] : value.items()) {
      if (value.is_object()) read(name + "." + inner, number);
    }
  }
  return out;
}

Golden ReadGolden(const std::string& path) {
  std::ifstream file(path);
  const json j = json::parse(file);
  Golden golden;
  golden.c.name = j.at("name");
  golden.c.config = ReadConfig(j.at("config"));
  const ParamLayout layout(golden.c.config);
  golden.c.weights.resize(layout.buffer_size());
  const float scale = j.at("weight_scale");
  EXPECT_EQ(j.at("weights").size(), layout.params().size());
  for (const ParamInfo& param : layout.params()) {
    const auto values = j.at("weights").at(param.name).get<std::vector<float>>();
    EXPECT_EQ(static_cast<int64_t>(values.size()), param.size) << param.name;
    for (size_t i = 0; i < values.size(); ++i)
      golden.c.weights[param.offset + i] = values[i] * scale;
  }
  TokenBatch& batch = golden.c.batch;
  j.at("tokens").get_to(batch.tokens);
  batch.segments = {{0, batch.rows(), 0, -1}};
  golden.c.target.assign(batch.tokens.begin() + 1, batch.tokens.end());
  golden.c.target.push_back(-1);
  golden.c.weight.assign(batch.rows(), 1);
  j.at("logits").get_to(golden.logits);
  j.at("mtp_logp").get_to(golden.mtp_logp);
  return golden;
}

std::vector<std::string> GoldenFiles() {
  std::vector<std::string> out;
  for (const auto& entry :
       std::filesystem::directory_iterator(DARKHORSE_SOURCE_DIR "/tests/golden")) {
    if (entry.path().filename().string().starts_with("model_")) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class GoldenModelTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Files, GoldenModelTest, testing::ValuesIn(GoldenFiles()),
                         [](const auto& test) {
                           return std::filesystem::path(test.param).stem().string();
                         });

TEST(GoldenModelFilesTest, Exist) { EXPECT_GE(GoldenFiles().size(), 17u); }

TEST_P(GoldenModelTest, ReferenceAndFastModelGiveTheLogitsOfTransformers) {
  const Golden golden = ReadGolden(GetParam());
  const ModelConfig& config = golden.c.config;
  const ParamLayout layout(config);
  const TapedForward reference(config, layout, golden.c.weights, golden.c.input());
  ASSERT_GT(reference.output().margin, 0) << "a routing decision is too close for f32";

  std::vector<float> weights = golden.c.weights;
  const ModelWeights model = Bind(config, layout, weights.data());
  Arena arena;
  const Matrix hidden = Transformer(config).Forward(model, golden.c.batch, nullptr, arena, nullptr);
  const Matrix fast = arena.NewMatrix(hidden.rows, config.vocab_size);
  LinearForward(hidden, model.lm_head, fast);

  const size_t rows = golden.c.batch.tokens.size();
  ASSERT_EQ(golden.logits.size(), rows);
  ASSERT_EQ(golden.mtp_logp.size(), static_cast<size_t>(config.num_nextn_predict_layers));
  for (size_t k = 0; k < golden.mtp_logp.size(); ++k) {
    ASSERT_EQ(golden.mtp_logp[k].size(), rows - 2 - k);
  }
  double worst = 0, worst_fast = 0;
  for (size_t row = 0; row < rows; ++row) {
    ASSERT_EQ(golden.logits[row].size(), static_cast<size_t>(config.vocab_size));
    for (int64_t v = 0; v < config.vocab_size; ++v) {
      const Taped<double>& want = reference.output().logits[static_cast<int64_t>(row)][v];
      const double theirs = golden.logits[row][v], ours = fast(static_cast<int64_t>(row), v);
      const double bound = reference.Bound(want);
      ASSERT_LE(std::abs(theirs - want.value()), bound) << "row " << row << " token " << v;
      ASSERT_LE(std::abs(theirs - ours), 2 * bound) << "row " << row << " token " << v;
      worst = std::max(worst, std::abs(theirs - want.value()));
      worst_fast = std::max(worst_fast, std::abs(theirs - ours));
    }
  }
  RecordProperty("reference", fmt::format("{:.1e}", worst));
  RecordProperty("fast", fmt::format("{:.1e}", worst_fast));
  for (size_t k = 0; k < golden.mtp_logp.size(); ++k) {
    for (size_t row = 0; row < golden.mtp_logp[k].size(); ++row) {
      const Taped<double>& want = reference.output().mtp_logp[k][row];
      ASSERT_LE(std::abs(golden.mtp_logp[k][row] - want.value()), reference.Bound(want))
          << "module " << k << " row " << row;
    }
  }
}

}  // namespace
}  // namespace darkhorse
