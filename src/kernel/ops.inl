// The loops of ops_loops.h on sixteen lanes. After simd_*.inl, inside the same anonymous namespace.
// Every sum over a row is sixteen partial sums, lane i taking elements i, i+16, …, and ReduceAdd's
// tree.

#include "kernel/math.inl"

constexpr float kInfinity = __builtin_inff();

alignas(64) const float kLaneIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

alignas(64) const float kPairSigns[16] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};

// a in the first n lanes, b in the others.
inline V FirstLanes(int64_t n, V a, V b) {
  return SelectLess(Load(kLaneIndex), Set1(static_cast<float>(n)), a, b);
}

// How a loop body reads and writes sixteen elements: all of them, or the last few of a row. `fill`
// stands in for what is beyond the row's end.
struct WholeLanes {
  V Get(const float* p, float = 0) const { return Load(p); }
  void Put(float* p, V x) const { Store(p, x); }
};
struct FewLanes {
  int n;
  V Get(const float* p) const { return LoadN(p, n); }
  V Get(const float* p, float fill) const { return FirstLanes(n, LoadN(p, n), Set1(fill)); }
  void Put(float* p, V x) const { StoreN(p, x, n); }
};

// body(i, lanes) for i = 0, 16, 32, … < n.
template <typename Body>
inline void ForLanes(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) body(i, WholeLanes{});
  if (i < n) body(i, FewLanes{static_cast<int>(n - i)});
}

void ExpLoop(const float* x, float* y, int64_t n) {
  ForLanes(n, [=](int64_t i, auto io) { io.Put(y + i, Exp(io.Get(x + i))); });
}

void SigmoidLoop(const float* x, float* y, int64_t n) {
  ForLanes(n, [=](int64_t i, auto io) { io.Put(y + i, Sigmoid(io.Get(x + i))); });
}

float RmsNormForwardLoop(const float* x, const float* weight, float eps, float* y, int64_t n) {
  V squares = Zero();
  ForLanes(n, [=, &squares](int64_t i, auto io) {
    const V a = io.Get(x + i);
    squares = Fma(a, a, squares);
  });
  const float mean = ReduceAdd(squares) / static_cast<float>(n);
  const V inv = Div(Set1(1.0f), Sqrt(Set1(mean + eps)));
  ForLanes(n, [=](int64_t i, auto io) {
    io.Put(y + i, Mul(Mul(io.Get(x + i), inv), io.Get(weight + i)));
  });
  float lanes[16];
  Store(lanes, inv);
  return lanes[0];
}

// With h = x * inv: dx = inv * (dy w - h * mean(dy w h)).
void RmsNormBackwardLoop(const float* dy, const float* x, const float* weight, float inv_rms,
                         float* dx, bool add_to_dx, float* dweight, int64_t n) {
  const V inv = Set1(inv_rms);
  V dot = Zero();
  ForLanes(n, [=, &dot](int64_t i, auto io) {
    const V g = io.Get(dy + i);
    const V h = Mul(io.Get(x + i), inv);
    io.Put(dweight + i, Fma(g, h, io.Get(dweight + i)));
    dot = Fma(Mul(g, io.Get(weight + i)), h, dot);
  });
  const V minus_mean = Set1(-(ReduceAdd(dot) / static_cast<float>(n)));
  ForLanes(n, [=](int64_t i, auto io) {
    const V h = Mul(io.Get(x + i), inv);
    const V d = Mul(inv, Fma(h, minus_mean, Mul(io.Get(dy + i), io.Get(weight + i))));
    io.Put(dx + i, add_to_dx ? Add(io.Get(dx + i), d) : d);
  });
}

// (a, b) -> (a cos - b sin, b cos + a sin). In lanes and not as a plain loop: GCC 12 contracts that
// loop to fmaddsub in spite of -ffp-contract=off.
void RopeNeighboursLoop(float* x, const float* cos_sin, float sine_sign, int64_t pairs) {
  const V sign = Mul(Set1(sine_sign), Load(kPairSigns));
  ForLanes(2 * pairs, [=](int64_t i, auto io) {
    const V a = io.Get(x + i);
    const V t = io.Get(cos_sin + i);
    io.Put(x + i, Fma(a, FirstOfPairs(t), Mul(SwapPairs(a), Mul(SecondOfPairs(t), sign))));
  });
}

// The same operations, so the same bits for the same pair.
void RopeHalvesLoop(float* x, const float* cos_sin, float sine_sign, int64_t pairs) {
  const V minus = Set1(-sine_sign);
  const V plus = Set1(sine_sign);
  ForLanes(pairs, [=](int64_t i, auto io) {
    const V a = io.Get(x + i);
    const V b = io.Get(x + pairs + i);
    const V cosine = io.Get(cos_sin + i);
    const V sine = io.Get(cos_sin + pairs + i);
    io.Put(x + i, Fma(a, cosine, Mul(b, Mul(sine, minus))));
    io.Put(x + pairs + i, Fma(b, cosine, Mul(a, Mul(sine, plus))));
  });
}

void SwiGluForwardLoop(const float* gate, const float* up, float* y, int64_t n) {
  ForLanes(n, [=](int64_t i, auto io) {
    const V g = io.Get(gate + i);
    io.Put(y + i, Mul(Mul(g, Sigmoid(g)), io.Get(up + i)));
  });
}

// silu'(g) = s (1 + g (1 - s)), s = sigmoid(g).
void SwiGluBackwardLoop(const float* dy, const float* gate, const float* up, float* dgate,
                        float* dup, int64_t n) {
  const V one = Set1(1.0f);
  ForLanes(n, [=](int64_t i, auto io) {
    const V g = io.Get(gate + i);
    const V d = io.Get(dy + i);
    const V u = io.Get(up + i);
    const V s = Sigmoid(g);
    io.Put(dgate + i, Mul(Mul(d, u), Mul(s, Fma(g, Sub(one, s), one))));
    io.Put(dup + i, Mul(d, Mul(g, s)));
  });
}

float MaxOf(const float* x, int64_t n) {
  V max = Set1(-kInfinity);
  ForLanes(n, [=, &max](int64_t i, auto io) { max = Max(max, io.Get(x + i, -kInfinity)); });
  return ReduceMax(max);
}

void SoftmaxLoop(const float* x, float* y, int64_t n) {
  const V max = Set1(MaxOf(x, n));
  V sums = Zero();
  ForLanes(n, [=, &sums](int64_t i, auto io) {
    const V e = Exp(Sub(io.Get(x + i, -kInfinity), max));
    io.Put(y + i, e);
    sums = Add(sums, e);
  });
  const V sum = Set1(ReduceAdd(sums));
  ForLanes(n, [=](int64_t i, auto io) { io.Put(y + i, Div(io.Get(y + i), sum)); });
}

// x - max, kept finite for excluded logits (x = -inf): their exp is zero all the same, and 0 * -200
// is zero.
inline V Below(V x, V max) { return Max(Set1(-200.0f), Sub(x, max)); }

SoftmaxStats SoftmaxStatsLoop(const float* x, bool weighted, int64_t n) {
  const float max = MaxOf(x, n);
  const V m = Set1(max);
  V sums = Zero();
  V weighted_sums = Zero();
  if (weighted) {
    ForLanes(n, [=, &sums, &weighted_sums](int64_t i, auto io) {
      const V d = Below(io.Get(x + i, -kInfinity), m);
      const V e = Exp(d);
      sums = Add(sums, e);
      weighted_sums = Fma(e, d, weighted_sums);
    });
  } else {
    ForLanes(n, [=, &sums](int64_t i, auto io) {
      sums = Add(sums, Exp(Below(io.Get(x + i, -kInfinity), m)));
    });
  }
  return {max, ReduceAdd(sums), ReduceAdd(weighted_sums)};
}

// d(log p_t)/dx_j = [j = t] - p_j;  d(entropy)/dx_j = -p_j (log p_j + entropy).
void LogSoftmaxBackwardLoop(float* logits, const LogSoftmaxGradient& gradient, int64_t n) {
  const V max = Set1(gradient.max);
  const V inv_sum = Set1(gradient.inv_sum);
  const V dentropy = Set1(gradient.dentropy);
  // dlogp + dentropy * (log p + entropy) = dentropy * (x - max) + constant
  const V entropy_minus_log_sum = Set1(gradient.entropy - gradient.log_sum);
  const V dlogp = Set1(gradient.dlogp);
  ForLanes(n, [=](int64_t i, auto io) {
    const V d = Below(io.Get(logits + i), max);
    const V p = Mul(Exp(d), inv_sum);
    const V slope = Fma(dentropy, Add(d, entropy_minus_log_sum), dlogp);
    io.Put(logits + i, Sub(Zero(), Mul(p, slope)));
  });
}

void AddLoop(const float* x, float* y, int64_t n) {
  ForLanes(n, [=](int64_t i, auto io) { io.Put(y + i, Add(io.Get(x + i), io.Get(y + i))); });
}

void AddScaledLoop(float weight, const float* x, float* y, int64_t n) {
  const V w = Set1(weight);
  ForLanes(n,
           [=](int64_t i, auto io) { io.Put(y + i, Add(io.Get(y + i), Mul(w, io.Get(x + i)))); });
}

// A row's sum is one chain; four rows' chains run beside each other.
void ScaleAndDotLoop(const ScaleAndDotArgs& args, int64_t n, double dot[4]) {
  double sums[4] = {};
  for (int64_t i = 0; i < n; ++i) {
    for (int row = 0; row < 4; ++row)
      sums[row] += static_cast<double>(args.dy[row][i]) * static_cast<double>(args.x[row][i]);
  }
  for (int row = 0; row < 4; ++row) {
    dot[row] = sums[row];
    const V w = Set1(args.weight[row]);
    const float* dy = args.dy[row];
    float* dx = args.dx[row];
    ForLanes(n, [=](int64_t i, auto io) { io.Put(dx + i, Mul(w, io.Get(dy + i))); });
  }
}

// Products of floats are exact in double, so fused or not is the same.
double SumSquaresLoop(const float* x, int64_t n) {
  double sums[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j)
      sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  }
  for (int j = 0; i + j < n; ++j)
    sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  for (int half = 8; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

void AdamWLoop(const AdamWStep& step, const float* grad, float* w, float* m, float* v, int64_t n) {
  const V grad_scale = Set1(step.grad_scale);
  const V beta1 = Set1(step.beta1);
  const V beta2 = Set1(step.beta2);
  const V rest1 = Set1(1.0f - step.beta1);
  const V rest2 = Set1(1.0f - step.beta2);
  const V inv_bias1 = Set1(step.inv_bias1);
  const V inv_bias2 = Set1(step.inv_bias2);
  const V eps = Set1(step.eps);
  const V decay = Set1(step.weight_decay);
  const V minus_lr = Set1(-step.lr);
  ForLanes(n, [=](int64_t i, auto io) {
    const V g = Mul(io.Get(grad + i), grad_scale);
    const V mean = Fma(beta1, io.Get(m + i), Mul(rest1, g));
    const V square = Fma(beta2, io.Get(v + i), Mul(rest2, Mul(g, g)));
    const V old = io.Get(w + i);
    const V step_size = Div(Mul(mean, inv_bias1), Add(Sqrt(Mul(square, inv_bias2)), eps));
    io.Put(m + i, mean);
    io.Put(v + i, square);
    io.Put(w + i, Fma(minus_lr, Fma(decay, old, step_size), old));
  });
}

#include "kernel/attention.inl"
#include "kernel/attention_bf16.inl"

constexpr OpsLoops MakeOpsLoops() {
  return {ExpLoop,
          SigmoidLoop,
          RmsNormForwardLoop,
          RmsNormBackwardLoop,
          RopeNeighboursLoop,
          RopeHalvesLoop,
          SwiGluForwardLoop,
          SwiGluBackwardLoop,
          SoftmaxLoop,
          SoftmaxStatsLoop,
          LogSoftmaxBackwardLoop,
          AddLoop,
          AddScaledLoop,
          ScaleAndDotLoop,
          SumSquaresLoop,
          AdamWLoop,
          AttentionForwardLoop,
          AttentionBackwardLoop,
          DotLoop,
          FinishRowLoop,
          SoftmaxBlockLoop,
          ProbabilityBlockLoop};
}
