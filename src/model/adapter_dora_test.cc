// DoRA: adapters whose layers' rows have magnitudes of their own.
#include <gtest/gtest.h>

#include <cmath>

#include "kernel/unpack.h"
#include "model/adapter_testing.h"
#include "model/packed_weights.h"
#include "model/reference_gradient_testing.h"

namespace darkhorse {
namespace {

// The pairs as they are in adapter_test.cc, and magnitudes that are not the norms.
struct DoraCase : AdaptedCase {
  explicit DoraCase(const ReferenceCase& c, int64_t rank) : AdaptedCase(c, With(rank)) {
    ForEachPair([&](const ParamInfo& weight, const ParamInfo&, const ParamInfo&) {
      const ParamInfo& m = Magnitude(weight);
      const int64_t in = weight.shape[1];
      for (int64_t o = 0; o < m.size; ++o) {
        double squares = 0;
        for (int64_t k = 0; k < in; ++k) squares += std::pow(Sum(weight, o, k), 2);
        const double lot = RandomUniform(3, RandomStream::kTest, m.offset, o);
        norms.push_back(std::sqrt(squares));
        float& value = values[static_cast<size_t>(m.offset + o)];
        value = static_cast<float>(norms.back() * (0.5 + lot));
      }
    });
    // Then the weights as they count; `sums` are what they were before.
    size_t row = 0;
    sums = merged.weights;
    ForEachPair([&](const ParamInfo& weight, const ParamInfo&, const ParamInfo&) {
      for (int64_t o = 0; o < weight.shape[0]; ++o, ++row) {
        for (int64_t k = 0; k < weight.shape[1]; ++k) {
          float& w = merged.weights[static_cast<size_t>(weight.offset + o * weight.shape[1] + k)];
          w = static_cast<float>(w * Gain(weight, o, row));
        }
      }
    });
  }
  static AdapterOptions With(int64_t rank) {
    AdapterOptions options = Options(rank);
    options.dora = true;
    return options;
  }
  const ParamInfo& Magnitude(const ParamInfo& weight) const {
    return *layout.Find(MagnitudeName(weight.name));
  }
  double Gain(const ParamInfo& weight, int64_t o, size_t row) const {
    return values[static_cast<size_t>(Magnitude(weight).offset + o)] / norms[row];
  }
  // Of W + scale * B . A.
  double Sum(const ParamInfo& weight, int64_t o, int64_t k) const {
    const auto& of = sums.empty() ? merged.weights : sums;
    return of[static_cast<size_t>(weight.offset + o * weight.shape[1] + k)];
  }
  std::vector<double> norms;  // of all rows of all pairs, in order
  std::vector<float> sums;
};

// With dW the gradient of the weights as they count, W' = m / n (W + s B . A) by rows, the norms n
// constants: dA = s B^T . (m / n dW), dB = s m / n dW . A^T and dm = sum over the row of dW (W + s
// B . A) / n. Each is a linear function of dW, whose bound the tape knows. To the adapter's rank +
// 2 roundings beside the `in` of a product come those of W', of the norm, its inverse, the gain
// and the product with it, five to each term, which the bound charges two: four times the bound.
TEST(Dora, ValuesAndGradientsAreThoseOfTheMergedModel) {
  for (const ReferenceCase& reference_case : ReferenceCases()) {
    SCOPED_TRACE(reference_case.name);
    DoraCase c(reference_case, 2);
    const ParamLayout whole(c.base.config);
    const Trained run =
        RunAdapted(c, Bind(c.base.config, whole, c.base.weights.data()), Format::kF32);
    const MergedOracle oracle(c, run, /*bounds=*/4);
    size_t row = 0;
    double moved = 0;
    c.ForEachPair([&](const ParamInfo& weight, const ParamInfo& a, const ParamInfo& b) {
      const int64_t out = weight.shape[0], in = weight.shape[1], rank = a.shape[0];
      const auto check = [&](const ParamInfo& param, int64_t index,
                             const std::vector<double>& of_weight) {
        moved += std::abs(oracle.Check(param, index, weight, of_weight));
      };
      const auto gain = [&](int64_t o) { return c.Gain(weight, o, row + static_cast<size_t>(o)); };
      std::vector<double> of_weight(static_cast<size_t>(weight.size));
      for (int64_t o = 0; o < out; ++o) {
        of_weight[static_cast<size_t>(o * in + in - 1)] = c.scale * gain(o) * c.At(b, o, rank - 1);
      }
      check(a, (rank - 1) * in + in - 1, of_weight);
      const auto last_row = [&](const auto& of) {
        std::ranges::fill(of_weight, 0.0);
        for (int64_t k = 0; k < in; ++k) of_weight[static_cast<size_t>((out - 1) * in + k)] = of(k);
      };
      last_row([&](int64_t k) { return c.scale * gain(out - 1) * c.At(a, rank - 1, k); });
      check(b, (out - 1) * rank + rank - 1, of_weight);
      const double norm = c.norms[row + static_cast<size_t>(out - 1)];
      last_row([&](int64_t k) { return c.Sum(weight, out - 1, k) / norm; });
      check(c.Magnitude(weight), out - 1, of_weight);
      row += static_cast<size_t>(out);
    });
    EXPECT_EQ(row, c.norms.size());
    EXPECT_GT(moved, 0);
  }
}

// The adapter of a weight: whatever form its base is packed in.
const LowRank& FirstAdapter(const ModelWeights& model) {
  const LayerWeights& layer = model.layers.front();
  const Weight& weight = layer.mla.o_proj.present() ? layer.mla.o_proj : layer.gqa.o_proj;
  return weight.adapters.front();
}

// A fresh one multiplies by 1: a norm divided by itself. Of layers of more outputs than are taken
// at once too, and of what is packed.
TEST(Dora, BeginsAsTheBase) {
  std::vector<ReferenceCase> cases = ReferenceCases();
  ReferenceCase wide = cases.front();
  wide.name = "Wide";
  wide.config.intermediate_size = 300;
  wide.weights = RandomWeights(wide.config, 1);
  cases.push_back(wide);
  for (const ReferenceCase& reference_case : cases) {
    SCOPED_TRACE(reference_case.name);
    DoraCase c(reference_case, 3);
    InitializeAdapter(c.layout, 7, c.values.data());
    const ParamLayout whole(c.base.config);
    const PackedWeights packed(c.base.config, whole, c.base.weights.data(), Format::kF32);
    ModelWeights frozen = packed.model();
    ListTensors(c.base.config, frozen, [](auto& tensor, const ParamSpec& spec) {
      if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
        if (spec.kind == ParamKind::kMatrix) tensor.w.data = nullptr;
      }
    });
    for (const ModelWeights& base :
         {Bind(c.base.config, whole, c.base.weights.data()), std::as_const(frozen)}) {
      AdaptedWeights adapted(c.base.config, base, c.layout, c.scale, c.values.data(), Format::kF32);
      adapted.InitializeMagnitudes();
      adapted.Repack();
      const LowRank& adapter = FirstAdapter(adapted.model());
      for (int64_t o = 0; o < adapter.b.out(); ++o) EXPECT_EQ(adapter.gain[o], 1) << o;
      c.ForEachPair([&](const ParamInfo& weight, const ParamInfo&, const ParamInfo&) {
        for (int64_t o = 0; o < weight.shape[0]; ++o) {
          double squares = 0;
          for (int64_t k = 0; k < weight.shape[1]; ++k) {
            squares += std::pow(
                c.base.weights[static_cast<size_t>(weight.offset + o * weight.shape[1] + k)], 2);
          }
          float& got = c.values[static_cast<size_t>(c.Magnitude(weight).offset + o)];
          EXPECT_NEAR(got, std::sqrt(squares), 0x1p-23 * got) << weight.name << " " << o;
          got = 0;
        }
      });
    }
  }
}

// Norms are of the numbers that products read, which a packed base unpacks.
TEST(Dora, AFrozenBaseIsReadFromItsPackedForm) {
  for (const Format format : {Format::kF32, Format::kBf16, Format::kQ8, Format::kQ4}) {
    for (const ReferenceCase& reference_case : ReferenceCases()) {
      SCOPED_TRACE(reference_case.name);
      DoraCase c(reference_case, 3);
      const ParamLayout whole(c.base.config);
      const PackedWeights packed(c.base.config, whole, c.base.weights.data(), format);
      ModelWeights frozen = packed.model();
      // The numbers, rounded once: in f32 products with them are those of the packed form.
      std::vector<float> numbers = c.base.weights;
      const auto is_packed = [](const ParamSpec& spec) {
        return spec.kind == ParamKind::kMatrix || spec.kind == ParamKind::kHead;
      };
      ListTensors(c.base.config, frozen, [&](auto& tensor, const ParamSpec& spec) {
        if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
          if (!is_packed(spec)) return;
          const ParamInfo* param = whole.Find(spec.name);
          if (param && spec.kind == ParamKind::kMatrix) {
            UnpackRows(tensor, 0,
                       Matrix(numbers.data() + param->offset, param->shape[0], param->shape[1]));
          }
          tensor.w.data = nullptr;
        }
      });
      AdaptedWeights adapted(c.base.config, frozen, c.layout, c.scale, c.values.data(),
                             Format::kF32);
      AdaptedWeights plain(c.base.config, Bind(c.base.config, whole, numbers.data()), c.layout,
                           c.scale, c.values.data(), Format::kF32);
      const LowRank &got = FirstAdapter(adapted.model()), &want = FirstAdapter(plain.model());
      for (int64_t o = 0; o < want.b.out(); ++o) {
        EXPECT_EQ(got.gain[o], want.gain[o]);
        EXPECT_EQ(got.inverse_norm[o], want.inverse_norm[o]);
      }
      if (IsInteger(format)) continue;
      const Trained run = RunAdapted(c, frozen, format);
      const Trained whole_run =
          RunAdapted(c, Bind(c.base.config, whole, c.base.weights.data(), format), format);
      EXPECT_EQ(run.logp, whole_run.logp);
      EXPECT_EQ(run.gradient, whole_run.gradient);
    }
  }
}

TEST(Dora, EachPairHasTheMagnitudesOfItsOutputs) {
  const ModelConfig config = ReferenceCases().front().config;
  AdapterOptions options = Options(2, {"o_proj"});
  options.dora = true;
  const ParamLayout layout = AdapterLayout(config, options);
  ASSERT_EQ(layout.params().size(), static_cast<size_t>(3 * config.num_hidden_layers));
  const ParamInfo& magnitude = layout.params()[2];
  EXPECT_EQ(magnitude.name,
            "base_model.model.model.layers.0.self_attn.o_proj.lora_magnitude_vector");
  EXPECT_EQ(magnitude.shape, (std::vector<int64_t>{config.hidden_size}));
  EXPECT_EQ(magnitude.kind, ParamKind::kNorm);  // does not decay
  options.kind = "none";
  EXPECT_THROW(Validate(options), UsageError);
}

}  // namespace
}  // namespace darkhorse
