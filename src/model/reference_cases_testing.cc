#include "model/reference_cases_testing.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/random.h"

namespace darkhorse {

std::vector<float> RandomWeights(const ModelConfig& config, uint64_t seed) {
  const ParamLayout layout(config);
  std::vector<float> weights(layout.buffer_size(), 0.0f);
  for (size_t tensor = 0; tensor < layout.params().size(); ++tensor) {
    const ParamInfo& param = layout.params()[tensor];
    double mean = 0, deviation = 1;
    if (param.kind == ParamKind::kNorm) {
      mean = 1;
      deviation = 0.2;
    } else if (param.kind == ParamKind::kRouterBias) {
      deviation = 0.2;
    } else if (param.kind != ParamKind::kEmbedding) {
      deviation = 1 / std::sqrt(static_cast<double>(param.shape.back()));
    }
    for (int64_t i = 0; i < param.size; ++i) {
      const double normal = RandomNormal(seed, RandomStream::kTest, tensor, i);
      weights[param.offset + i] = static_cast<float>(mean + deviation * normal);
    }
  }
  return weights;
}

void FillBatch(const std::vector<int64_t>& lengths, uint64_t seed, ReferenceCase& c) {
  RandomSequence random(seed, RandomStream::kTest, ~uint64_t{0});
  for (const int64_t length : lengths) {
    c.batch.segments.push_back({c.batch.rows(), length, 0, -1});
    for (int64_t i = 0; i < length; ++i)
      c.batch.tokens.push_back(static_cast<int32_t>(random.Below(c.config.vocab_size)));
    for (int64_t i = 0; i < length; ++i) {
      const size_t next = c.target.size() + 1;
      c.target.push_back(i + 1 < length ? c.batch.tokens[next] : -1);
      c.weight.push_back(static_cast<float>(random.Uniform() * 1.5 - 0.25));
    }
  }
  if (c.weight.size() > 2) c.weight[1] = 0;
}

std::vector<ReferenceCase> ReferenceCases() {
  std::vector<ReferenceCase> cases;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& lengths,
                       const std::function<void(ReferenceCase&)>& edit) {
    ReferenceCase c;
    c.name = name;
    c.config = TinyConfig();
    c.mtp_lambda = 0.3;
    c.balance_alpha = 0.05;
    edit(c);
    const uint64_t seed = 1 + cases.size();
    c.weights = RandomWeights(c.config, seed);
    FillBatch(lengths, seed, c);
    cases.push_back(std::move(c));
  };
  add("Base", {5, 3}, [](ReferenceCase&) {});
  add("PlainQueriesTied", {1, 5, 2}, [](ReferenceCase& c) {
    c.config.q_lora_rank = 0;
    c.config.tie_word_embeddings = true;
  });
  add("Dense", {7, 2}, [](ReferenceCase& c) {
    c.config.first_k_dense_replace = 3;
    c.config.num_nextn_predict_layers = 1;
  });
  add("AllMoeNoShared", {6, 1}, [](ReferenceCase& c) {
    c.config.first_k_dense_replace = 0;
    c.config.n_shared_experts = 0;
    c.config.norm_topk_prob = false;
    c.config.routed_scaling_factor = 1.7;
    c.batch.sequence_rows = 3;
  });
  add("Groups", {5, 4}, [](ReferenceCase& c) {
    c.config.n_routed_experts = 8;
    c.config.n_group = 4;
    c.config.topk_group = 2;
    c.config.num_experts_per_tok = 3;
    c.config.n_shared_experts = 2;
    c.config.routed_scaling_factor = 2.5;
    c.config.moe_intermediate_size = 3;
  });
  add("SoftmaxGreedy", {4, 3}, [](ReferenceCase& c) {
    c.config.model_type = "deepseek_v2";
    c.config.scoring_func = "softmax";
    c.config.topk_method = "greedy";
    c.config.norm_topk_prob = false;
    c.config.n_shared_experts = 2;
    c.config.num_experts_per_tok = 1;
  });
  add("SoftmaxGroupMax", {3, 5}, [](ReferenceCase& c) {
    c.config.scoring_func = "softmax";
    c.config.topk_method = "group_limited_greedy";
    c.config.n_routed_experts = 6;
    c.config.n_group = 3;
    c.config.topk_group = 2;
    c.config.norm_topk_prob = false;
    c.config.routed_scaling_factor = 16;
    c.config.moe_intermediate_size = 3;
  });
  add("SigmoidGreedyNormed", {8}, [](ReferenceCase& c) {
    c.config.topk_method = "greedy";
    c.config.num_experts_per_tok = 3;
    c.batch.sequence_rows = 4;
  });
  add("SoftmaxNoaux", {5}, [](ReferenceCase& c) {
    c.config.scoring_func = "softmax";
    c.config.num_attention_heads = 3;
    c.config.v_head_dim = 2;
    c.config.qk_nope_head_dim = 5;
  });
  add("Yarn", {9}, [](ReferenceCase& c) {
    c.config.qk_rope_head_dim = 8;
    c.config.rope_scaling = {"yarn", 4, 16, 2, 0.5, 1, 0.7};
  });
  add("YarnEqualScales", {2, 6}, [](ReferenceCase& c) {
    c.config.qk_rope_head_dim = 6;
    c.config.rope_scaling = {"yarn", 40, 32, 4, 1, 0.707, 0.707};
  });
  add("Mtp", {5, 1, 3}, [](ReferenceCase& c) { c.config.num_nextn_predict_layers = 1; });
  add("MtpTwoTied", {6, 2}, [](ReferenceCase& c) {
    c.config.num_nextn_predict_layers = 2;
    c.config.num_hidden_layers = 1;
    c.config.tie_word_embeddings = true;
    c.config.q_lora_rank = 0;
    c.batch.sequence_rows = 5;
  });
  const auto grouped = [](ReferenceCase& c, int64_t heads, int64_t key_heads, int64_t width) {
    ModelConfig& m = c.config;
    m.q_lora_rank = m.kv_lora_rank = m.qk_nope_head_dim = m.qk_rope_head_dim = m.v_head_dim = 0;
    m.num_attention_heads = heads;
    m.num_key_value_heads = key_heads;
    m.head_dim = width;
    m.rope_interleave = false;
  };
  add("Grouped", {5, 3}, [&](ReferenceCase& c) { grouped(c, 4, 2, 4); });
  add("GroupedAllShareBiases", {1, 6}, [&](ReferenceCase& c) {
    grouped(c, 3, 1, 6);
    c.config.first_k_dense_replace = 2;
    c.config.attention_bias = c.config.attention_output_bias = true;
    c.config.rope_scaling = {.type = "llama3",
                             .factor = 8,
                             .original_max_position_embeddings = 40,
                             .low_freq_factor = 1,
                             .high_freq_factor = 4};
  });
  add("GroupedNoneShareNorms", {7, 2}, [&](ReferenceCase& c) {
    grouped(c, 2, 2, 6);
    c.config.qk_norm = true;
    c.config.rope_scaling = {.type = "yarn",
                             .factor = 4,
                             .original_max_position_embeddings = 16,
                             .beta_fast = 2,
                             .beta_slow = 0.5,
                             .attention_factor = 1.3};
  });
  add("GroupedNormsBiasesMoeMtp", {4, 4}, [&](ReferenceCase& c) {
    grouped(c, 4, 2, 2);
    c.config.qk_norm = c.config.attention_bias = true;
    c.config.rope_interleave = true;
    c.config.rope_scaling = {.type = "linear", .factor = 3};
    c.config.scoring_func = "softmax";
    c.config.topk_method = "greedy";
    c.config.n_shared_experts = 0;
    c.config.first_k_dense_replace = 0;
    c.config.num_experts_per_tok = 3;
    c.config.num_nextn_predict_layers = 1;
  });
  add("LatentHalves", {6, 2}, [](ReferenceCase& c) {
    c.config.rope_interleave = false;
    c.config.first_k_dense_replace = 2;
  });
  return cases;
}

std::vector<ReferenceCase> SharedPrefixCases() {
  std::vector<ReferenceCase> cases;
  for (ReferenceCase& c : ReferenceCases()) {
    if (c.config.num_nextn_predict_layers > 0) continue;
    c.name += "SharedPrefix";
    c.balance_alpha = 0;
    c.batch = {};
    c.target.clear();
    c.weight.clear();
    FillBatch({2, 3, 1, 4, 2}, 1, c);  // one document, and then a prefix and three that go on
    std::fill_n(c.target.begin() + 2, 3, -1);
    for (size_t i = 2; i < 5; ++i) {
      Segment& segment = c.batch.segments[i];
      segment.position = 3;
      segment.prefix = 2;
    }
    cases.push_back(std::move(c));
  }
  return cases;
}

ReferenceCase Unshared(const ReferenceCase& c, std::vector<int64_t>* row_of) {
  ReferenceCase whole = c;
  whole.batch = {};
  whole.target.clear();
  whole.weight.clear();
  row_of->assign(static_cast<size_t>(c.batch.rows()), -1);
  const auto is_prefix = [&](const Segment& segment) {
    return std::ranges::any_of(c.batch.segments, [&](const Segment& other) {
      return other.prefix_rows() > 0 && other.prefix == segment.row;
    });
  };
  for (const Segment& segment : c.batch.segments) {
    if (is_prefix(segment)) continue;
    whole.batch.segments.push_back({whole.batch.rows(), segment.prefix_rows() + segment.rows});
    const auto copy = [&](int64_t row) {
      int64_t& to = (*row_of)[static_cast<size_t>(row)];
      if (to < 0) to = whole.batch.rows();
      whole.batch.tokens.push_back(c.batch.tokens[static_cast<size_t>(row)]);
      whole.target.push_back(c.target[static_cast<size_t>(row)]);
      whole.weight.push_back(c.weight[static_cast<size_t>(row)]);
    };
    for (int64_t i = 0; i < segment.prefix_rows(); ++i) copy(segment.prefix + i);
    for (int64_t i = 0; i < segment.rows; ++i) copy(segment.row + i);
  }
  return whole;
}

ReferenceCase RandomCase(uint64_t seed) {
  RandomSequence random(seed, RandomStream::kTest, 0);
  const auto coin = [&] { return random.Below(2) == 1; };
  const auto between = [&](int64_t low, int64_t high) { return random.Between(low, high); };
  ReferenceCase c;
  c.name = "Random" + std::to_string(seed);
  ModelConfig& m = c.config = TinyConfig();
  m.vocab_size = between(3, 20);
  m.hidden_size = between(5, 9);
  m.num_hidden_layers = between(1, 3);
  m.num_attention_heads = between(1, 3);
  m.q_lora_rank = coin() ? between(2, 6) : 0;
  m.kv_lora_rank = between(2, 7);
  m.qk_nope_head_dim = between(1, 5);
  m.qk_rope_head_dim = 2 * between(1, 4);
  m.v_head_dim = between(1, 5);
  m.intermediate_size = between(2, 8);
  m.moe_intermediate_size = between(2, 5);
  m.first_k_dense_replace = between(0, 2);
  m.n_group = between(1, 3);
  m.n_routed_experts = m.n_group * between(1, 3);
  m.topk_group = between(1, m.n_group);
  m.num_experts_per_tok = between(1, m.topk_group * (m.n_routed_experts / m.n_group));
  m.n_shared_experts = between(0, 2);
  m.scoring_func = coin() ? "sigmoid" : "softmax";
  const char* const methods[] = {"noaux_tc", "greedy", "group_limited_greedy"};
  m.topk_method = methods[random.Below(3)];
  m.norm_topk_prob = coin();
  m.routed_scaling_factor = 0.5 + 2 * random.Uniform();
  m.num_nextn_predict_layers = between(0, 2);
  m.tie_word_embeddings = coin();
  m.rope_theta = 10 + 1000 * random.Uniform();
  if (coin()) {
    m.rope_scaling = {"yarn",
                      1 + 20 * random.Uniform(),
                      between(8, 40),
                      1 + 4 * random.Uniform(),
                      0.2 + 0.5 * random.Uniform(),
                      0.5 + random.Uniform(),
                      coin() ? 0.5 + random.Uniform() : 0};
  }
  // Drawn last, so that the seeds' other fields stay what they were.
  RandomSequence more(seed, RandomStream::kTest, 1);
  m.rope_interleave = more.Below(2) == 1;
  if (more.Below(2) == 1) {
    m.q_lora_rank = m.kv_lora_rank = 0;
    m.num_key_value_heads = more.Between(1, 2);
    m.num_attention_heads = m.num_key_value_heads * more.Between(1, 3);
    m.head_dim = 2 * more.Between(1, 3);
    m.attention_bias = more.Below(2) == 1;
    m.attention_output_bias = more.Below(2) == 1;
    m.qk_norm = more.Below(2) == 1;
  }
  c.mtp_lambda = random.Uniform();
  c.balance_alpha = random.Uniform();
  std::vector<int64_t> lengths(between(1, 3));
  for (int64_t& length : lengths) length = between(1, 5);
  FillBatch(lengths, seed, c);
  if (coin()) c.batch.sequence_rows = between(1, c.batch.rows());
  c.weights = RandomWeights(m, seed);
  return c;
}

}  // namespace darkhorse
