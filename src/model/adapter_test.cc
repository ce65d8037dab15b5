// Adapters against the model that has their products in its weights.
#include "model/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/fields_testing.h"
#include "model/adapter_testing.h"
#include "model/packed_weights.h"
#include "model/reference_gradient_testing.h"

namespace darkhorse {
namespace {

// The gradient of a pair follows from that of the whole weight: dA = scale * B^T . dW and dB =
// scale
// * dW . A^T, each element a linear function of dW, whose bound the tape knows. The adapter adds
// roundings of its own, rank + 2 to the `in` of a product: no more than there are, so twice the
// bound.
TEST(Adapter, ValuesAndGradientsAreThoseOfTheMergedModel) {
  for (const ReferenceCase& reference_case : ReferenceCases()) {
    SCOPED_TRACE(reference_case.name);
    AdaptedCase c(reference_case, Options(2));
    const ParamLayout whole(c.base.config);
    const Trained run =
        RunAdapted(c, Bind(c.base.config, whole, c.base.weights.data()), Format::kF32);
    const MergedOracle oracle(c, run, /*bounds=*/2);
    int64_t compared = 0;
    c.ForEachPair([&](const ParamInfo& weight, const ParamInfo& a, const ParamInfo& b) {
      const int64_t out = weight.shape[0], in = weight.shape[1], rank = a.shape[0];
      const auto check = [&](const ParamInfo& param, int64_t index,
                             const std::vector<double>& of_weight) {
        oracle.Check(param, index, weight, of_weight);
        ++compared;
      };
      // A bound takes a sweep over the tape: the last element of each is one that every row enters.
      std::vector<double> of_weight(static_cast<size_t>(weight.size));
      for (int64_t o = 0; o < out; ++o)
        of_weight[static_cast<size_t>(o * in + in - 1)] = c.scale * c.At(b, o, rank - 1);
      check(a, (rank - 1) * in + in - 1, of_weight);
      std::ranges::fill(of_weight, 0.0);
      for (int64_t k = 0; k < in; ++k)
        of_weight[static_cast<size_t>((out - 1) * in + k)] = c.scale * c.At(a, rank - 1, k);
      check(b, (out - 1) * rank + rank - 1, of_weight);
    });
    EXPECT_GE(compared, 14);
  }
}

// A fresh pair changes no bit of the model, and its gradient is not nothing.
TEST(Adapter, BeginsAsTheBase) {
  for (const ReferenceCase& reference_case : ReferenceCases()) {
    SCOPED_TRACE(reference_case.name);
    AdaptedCase c(reference_case, Options(4));
    InitializeAdapter(c.layout, 7, c.values.data());
    const ParamLayout whole(c.base.config);
    const ModelWeights base = Bind(c.base.config, whole, c.base.weights.data());
    Arena arena;
    std::vector<float> logp(static_cast<size_t>(c.base.batch.rows()));
    std::vector<float> unused(static_cast<size_t>(whole.buffer_size()));
    LossForwardBackward(
        Transformer(c.base.config), base, {c.base.batch, c.base.target, c.base.weight},
        static_cast<float>(c.base.mtp_lambda), static_cast<float>(c.base.balance_alpha), arena,
        BindGradients(c.base.config, whole, unused.data()), logp.data());
    const Trained run = RunAdapted(c, base, Format::kF32);
    EXPECT_EQ(std::memcmp(run.logp.data(), logp.data(), logp.size() * sizeof(float)), 0);
    for (const ParamInfo& param : c.layout.params()) {
      const auto begin = run.gradient.begin() + param.offset;
      const bool moves = std::any_of(begin, begin + param.size, [](float g) { return g != 0; });
      const bool is_a = param.name.ends_with("lora_A.weight");  // its gradient: times B = 0
      // An expert may have had no token.
      if (is_a || param.expert < 0) {
        EXPECT_EQ(moves, !is_a) << param.name;
      }
    }
  }
}

// Of what is packed and frozen, training gives what sampling does, row for row, and the same
// gradients as where the same numbers are plain.
TEST(Adapter, AFrozenBaseIsReadFromItsPackedForm) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    for (const ReferenceCase& reference_case : ReferenceCases()) {
      SCOPED_TRACE(reference_case.name);
      AdaptedCase c(reference_case, Options(3));
      const ParamLayout whole(c.base.config);
      const Trained plain =
          RunAdapted(c, Bind(c.base.config, whole, c.base.weights.data(), format), format);
      const PackedWeights packed(c.base.config, whole, c.base.weights.data(), format);
      ModelWeights frozen = packed.model();
      ListTensors(c.base.config, frozen, [](auto& tensor, const ParamSpec& spec) {
        if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
          if (spec.kind == ParamKind::kMatrix || spec.kind == ParamKind::kHead)
            tensor.w.data = nullptr;
        }
      });
      const Trained run = RunAdapted(c, frozen, format);
      EXPECT_EQ(run.logp, plain.logp);
      EXPECT_EQ(run.gradient, plain.gradient);
    }
  }
}

std::vector<float> Hidden(const ModelConfig& config, const ModelWeights& weights,
                          const TokenBatch& batch) {
  Arena arena;
  const Matrix hidden = Transformer(config).Forward(weights, batch, nullptr, arena, nullptr);
  return {hidden.data, hidden.data + hidden.size()};
}

// Documents that take different adapters in one batch get what each alone gives, to the bit; one
// adapter has pairs where another has none.
TEST(Adapter, EveryDocumentTakesItsOwn) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    for (const ReferenceCase& reference_case : ReferenceCases()) {
      SCOPED_TRACE(reference_case.name);
      AdaptedCase all(reference_case, Options(3));
      AdaptedCase few(reference_case, Options(2, {"o_proj", "down_proj"}));
      const ModelConfig& config = all.base.config;
      const ParamLayout whole(config);
      const ModelWeights base = Bind(config, whole, all.base.weights.data(), format);
      const std::vector<AdapterValues> adapters = {
          {}, {&all.layout, all.scale, all.values.data()}, {&few.layout, 3, few.values.data()}};
      const AdaptedWeights together(config, base, adapters, format);
      TokenBatch batch = all.base.batch;
      // Each document three times, one with every adapter, so that neighbours differ.
      const TokenBatch once = batch;
      for (int copies = 1; copies < 3; ++copies) {
        for (Segment segment : once.segments) {
          segment.row += copies * once.rows();
          batch.segments.push_back(segment);
        }
        batch.tokens.insert(batch.tokens.end(), once.tokens.begin(), once.tokens.end());
      }
      for (size_t s = 0; s < batch.segments.size(); ++s)
        batch.segments[s].adapter =
            static_cast<int32_t>((s + s / once.segments.size()) % adapters.size());
      const std::vector<float> got = Hidden(config, together.model(), batch);
      std::vector<std::vector<float>> alone;
      for (const AdapterValues& adapter : adapters) {
        alone.push_back(
            Hidden(config, AdaptedWeights(config, base, {adapter}, format).model(), once));
      }
      EXPECT_EQ(alone[0], Hidden(config, base, once));
      EXPECT_NE(alone[1], alone[0]);
      EXPECT_NE(alone[2], alone[0]);
      for (const Segment& segment : batch.segments) {
        const auto& want = alone[static_cast<size_t>(segment.adapter)];
        const int64_t from = segment.row % once.rows();
        EXPECT_EQ(std::memcmp(got.data() + segment.row * config.hidden_size,
                              want.data() + from * config.hidden_size,
                              static_cast<size_t>(segment.rows * config.hidden_size) * 4),
                  0)
            << segment.row;
      }
    }
  }
}

TEST(Adapter, TargetsAreTheLayersNamed) {
  const ModelConfig config = ReferenceCases().front().config;
  const ParamLayout some = AdapterLayout(config, Options(2, {"o_proj", "down_proj"}));
  ASSERT_FALSE(some.params().empty());
  for (const ParamInfo& param : some.params()) {
    EXPECT_TRUE(param.name.find(".o_proj.lora_") != std::string::npos ||
                param.name.find(".down_proj.lora_") != std::string::npos)
        << param.name;
  }
  EXPECT_EQ(some.params().front().name,
            "base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight");
  try {
    AdapterLayout(config, Options(2, {"o_proj", "qq_proj"}));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("'qq_proj'"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("o_proj"), std::string::npos) << error.what();
  }
}

TEST(Adapter, EveryLinearLayerIsATarget) {
  for (const ReferenceCase& c : ReferenceCases()) {
    const ParamLayout layout = AdapterLayout(c.config, Options(2));
    const ParamLayout whole(c.config);
    for (const ParamInfo& param : whole.params()) {
      const bool adapted =
          param.name.ends_with(".weight") && layout.Find(LoraName(param.name, 'A')) != nullptr;
      EXPECT_EQ(adapted, param.kind == ParamKind::kMatrix && param.layer >= 0 &&
                             param.layer < c.config.num_hidden_layers)
          << param.name;
    }
  }
}

TEST(Adapter, FieldsAreWhole) { EXPECT_TRUE(ListsEveryMember<AdapterOptions>()); }

TEST(Adapter, WrongOptionsAreRefused) {
  const auto refused = [](const std::string& assignment) {
    AdapterOptions options;
    SetField(FieldsOf(options), assignment);
    EXPECT_THROW(Validate(options), UsageError) << assignment;
  };
  Validate(AdapterOptions());
  for (const int64_t rank : {1, 4096}) Validate(Options(rank));
  for (const char* wrong :
       {"rank=0", "rank=5000", "alpha=0", "alpha=-1", "kind=dora", "weights=q3", "targets="})
    refused(wrong);
}

}  // namespace
}  // namespace darkhorse
