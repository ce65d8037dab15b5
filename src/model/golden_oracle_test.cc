// The reference and the fast model against what transformers computed with the same weights
// (tests/golden/model_*.json, written by tools/make_model_golden.py). transformers computes in f32
// too, so a value may differ from the reference by the derived bound once and from the fast model
// by it twice.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/arena.h"
#include "model/linear.h"
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

ModelConfig ReadConfig(const json& j) {
  ModelConfig c;
  j.at("model_type").get_to(c.model_type);
  j.at("vocab_size").get_to(c.vocab_size);
  j.at("hidden_size").get_to(c.hidden_size);
  j.at("num_hidden_layers").get_to(c.num_hidden_layers);
  j.at("num_attention_heads").get_to(c.num_attention_heads);
  c.q_lora_rank = j.at("q_lora_rank").is_null() ? 0 : j.at("q_lora_rank").get<int64_t>();
  j.at("kv_lora_rank").get_to(c.kv_lora_rank);
  j.at("qk_nope_head_dim").get_to(c.qk_nope_head_dim);
  j.at("qk_rope_head_dim").get_to(c.qk_rope_head_dim);
  j.at("v_head_dim").get_to(c.v_head_dim);
  j.at("intermediate_size").get_to(c.intermediate_size);
  j.at("moe_intermediate_size").get_to(c.moe_intermediate_size);
  j.at("first_k_dense_replace").get_to(c.first_k_dense_replace);
  j.at("n_routed_experts").get_to(c.n_routed_experts);
  j.at("n_shared_experts").get_to(c.n_shared_experts);
  j.at("num_experts_per_tok").get_to(c.num_experts_per_tok);
  j.at("n_group").get_to(c.n_group);
  j.at("topk_group").get_to(c.topk_group);
  j.at("scoring_func").get_to(c.scoring_func);
  j.at("topk_method").get_to(c.topk_method);
  j.at("norm_topk_prob").get_to(c.norm_topk_prob);
  j.at("routed_scaling_factor").get_to(c.routed_scaling_factor);
  j.at("num_nextn_predict_layers").get_to(c.num_nextn_predict_layers);
  j.at("max_position_embeddings").get_to(c.max_position_embeddings);
  j.at("rope_theta").get_to(c.rope_theta);
  j.at("rms_norm_eps").get_to(c.rms_norm_eps);
  j.at("tie_word_embeddings").get_to(c.tie_word_embeddings);
  const json& yarn = j.at("rope_scaling");
  if (!yarn.is_null()) {
    yarn.at("type").get_to(c.rope_scaling.type);
    yarn.at("factor").get_to(c.rope_scaling.factor);
    yarn.at("original_max_position_embeddings")
        .get_to(c.rope_scaling.original_max_position_embeddings);
    yarn.at("beta_fast").get_to(c.rope_scaling.beta_fast);
    yarn.at("beta_slow").get_to(c.rope_scaling.beta_slow);
    yarn.at("mscale").get_to(c.rope_scaling.mscale);
    yarn.at("mscale_all_dim").get_to(c.rope_scaling.mscale_all_dim);
  }
  return c;
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

TEST(GoldenModelFilesTest, Exist) { EXPECT_GE(GoldenFiles().size(), 9u); }

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
