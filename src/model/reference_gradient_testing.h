// Derivatives of the reference's loss for every float of a parameter buffer, by the complex step
// and by the tape (which share no code), and bounds on what f32 arithmetic can be off in the
// model's outputs and in those derivatives.
#pragma once

#include <complex>
#include <vector>

#include "base/parallel.h"
#include "model/reference_tape_testing.h"
#include "model/reference_testing.h"

namespace darkhorse {

// d loss / d parameter [layout.buffer_size()], 0 in the padding. Squire and Trapp 1998: exact to
// rounding in double, one forward pass a parameter.
inline std::vector<double> ComplexStepGradient(const ModelConfig& config, const ParamLayout& layout,
                                               const std::vector<float>& weights,
                                               const ReferenceInput& input) {
  using Complex = std::complex<double>;
  constexpr double kStep = 1e-30;  // far below the last bit of any real part: they stay exact
  const Reference<Complex> reference(config, layout);
  std::vector<int64_t> index;
  for (const ParamInfo& param : layout.params()) {
    for (int64_t i = 0; i < param.size; ++i) index.push_back(param.offset + i);
  }
  std::vector<double> gradient(weights.size());
  ParallelForRange(static_cast<int64_t>(index.size()), 64, [&](int64_t begin, int64_t end) {
    std::vector<Complex> shifted(weights.begin(), weights.end());
    for (int64_t i = begin; i < end; ++i) {
      Complex& parameter = shifted[index[i]];
      parameter.imag(kStep);
      gradient[index[i]] = reference.Run(shifted.data(), input).loss.imag() / kStep;
      parameter.imag(0);
    }
  });
  return gradient;
}

template <typename Number>
std::vector<Number> AsVariables(const std::vector<float>& weights) {
  std::vector<Number> out;
  out.reserve(weights.size());
  for (const float w : weights) {
    if constexpr (std::is_same_v<Number, Taped<double>>) {
      out.push_back(Number::Variable(w));
    } else {
      out.push_back(Number::Variable(AsVariables<Taped<double>>({w})[0]));
    }
  }
  return out;
}

// A forward pass on the tape: values, and the bound of any of them.
class TapedForward {
 public:
  TapedForward(const ModelConfig& config, const ParamLayout& layout,
               const std::vector<float>& weights, const ReferenceInput& input)
      : size_(weights.size()),
        output_(Reference<Taped<double>>(config, layout)
                    .Run(AsVariables<Taped<double>>(weights).data(), input)) {}
  const ReferenceOutput<Taped<double>>& output() const { return output_; }
  double Bound(const Taped<double>& x) const { return tape_.RoundingBound(x); }
  // d loss / d parameter, as ComplexStepGradient.
  std::vector<double> Gradient() const {
    std::vector<double> gradient = tape_.Derivatives(output_.loss);
    gradient.resize(size_);  // the parameters were recorded first
    return gradient;
  }

 private:
  Tape<double> tape_;
  size_t size_;
  ReferenceOutput<Taped<double>> output_;
};

// A forward and a backward pass on the tape: derivatives, and the bound of any linear function of
// them.
class TapedGradient {
 public:
  TapedGradient(const ModelConfig& config, const ParamLayout& layout,
                const std::vector<float>& weights, const ReferenceInput& input) {
    Tape<Taped<double>> outer;
    const auto variables = AsVariables<Taped<Taped<double>>>(weights);
    const auto output =
        Reference<Taped<Taped<double>>>(config, layout).Run(variables.data(), input);
    gradient_ = outer.Derivatives(output.loss);
    gradient_.resize(weights.size());
  }
  double value(int64_t i) const { return gradient_[i].value(); }
  // How far f32 can be off in sum_i probe_i gradient[offset + i]. Only the gradient's own rounding
  // counts, not that of this sum.
  double Bound(int64_t offset, const std::vector<double>& probe) const {
    Tape<double>::Terms terms;
    for (size_t i = 0; i < probe.size(); ++i)
      terms.emplace_back(gradient_[offset + static_cast<int64_t>(i)].index(), probe[i]);
    return tape_.RoundingBound(terms);
  }

 private:
  Tape<double> tape_;
  std::vector<Taped<double>> gradient_;
};

}  // namespace darkhorse
