// The bits of the row operations: the same on all instruction sets, threads and in every batch.
#include <functional>

#include "kernel/ops.h"
#include "kernel/ops_testing.h"

namespace darkhorse {
namespace {

// Every row operation: rows [begin, end) of fixed inputs of the given width -> its outputs, row
// after row.
struct RowCase {
  const char* name;
  std::function<std::vector<float>(int64_t cols, int64_t begin, int64_t end)> run;
};

std::vector<RowCase> RowCases() {
  return {
      {"rms_norm",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix y(e - b, n, 2);
         std::vector<float> inv(static_cast<size_t>(e - b));
         RmsNormForward(Input(1, n).view().Rows(b, e - b), TestMatrix::Random(2, 1, n).data(),
                        1e-6f, y, inv.data());
         std::vector<float> all = y.all();
         for (int64_t r = 0; r < e - b; ++r)
           all[static_cast<size_t>(r * (n + 2) + n)] = inv[static_cast<size_t>(r)];
         return all;
       }},
      {"rms_norm_backward",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix dx = TestMatrix(e - b, n, 2, 0.25f);
         std::vector<float> dweight(static_cast<size_t>(n));
         const std::vector<float> inv = RowFloats(9);
         RmsNormBackward(Input(1, n).view().Rows(b, e - b), Input(3, n).view().Rows(b, e - b),
                         TestMatrix::Random(2, 1, n).data(), inv.data() + b, dx, true,
                         dweight.data());
         return dx.all();
       }},
      {"swiglu",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix y(e - b, n, 2);
         SwiGluForward(Input(1, n).view().Rows(b, e - b), Input(2, n).view().Rows(b, e - b), y);
         return y.all();
       }},
      {"swiglu_backward",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix gate = Input(1, n);  // dgate and dup take their place
         TestMatrix up = Input(2, n);
         const Matrix g = gate.view().Rows(b, e - b);
         const Matrix u = up.view().Rows(b, e - b);
         SwiGluBackward(Input(3, n).view().Rows(b, e - b), g, u, g, u);
         std::vector<float> all;
         for (int64_t r = b; r < e; ++r) {
           Append({gate.view().Row(r), gate.view().Row(r) + n}, &all);
           Append({up.view().Row(r), up.view().Row(r) + n}, &all);
         }
         return all;
       }},
      {"sigmoid",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix y(e - b, n, 2);
         Sigmoid(Input(1, n).view().Rows(b, e - b), y);
         return y.all();
       }},
      {"softmax",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix y(e - b, n, 2);
         SoftmaxRows(Input(1, n).view().Rows(b, e - b), y);
         return y.all();
       }},
      {"log_softmax",
       [](int64_t n, int64_t b, int64_t e) {
         std::vector<float> logp(static_cast<size_t>(e - b));
         std::vector<float> entropy(logp.size());
         LogSoftmaxRows(Input(1, n).view().Rows(b, e - b), Targets(n).data() + b, logp.data(),
                        entropy.data());
         std::vector<float> all;
         for (size_t r = 0; r < logp.size(); ++r) Append({logp[r], entropy[r]}, &all);
         return all;
       }},
      {"log_softmax_backward",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix x = Input(1, n);
         LogSoftmaxBackwardRows(x.view().Rows(b, e - b), Targets(n).data() + b,
                                RowFloats(4).data() + b, RowFloats(5).data() + b, nullptr);
         return std::vector<float>(x.view().Row(b), x.view().Row(e - 1) + n);
       }},
      {"rope",
       [](int64_t n, int64_t b, int64_t e) {
         const std::vector<double> inv_freq = {1, 0.3, 0.01};
         const std::vector<float> table = RopeTableOf(inv_freq, 1.5, RopeOrder::kNeighbours, 50);
         std::vector<int32_t> position(kRows);
         for (size_t r = 0; r < position.size(); ++r)
           position[r] = static_cast<int32_t>(r * 31 % 50);
         TestMatrix x = Input(1, n + 20);
         RopeInPlace(x.view().Rows(b, e - b), 2, 2, 8, {6, table.data(), 50}, position.data() + b,
                     false);
         return std::vector<float>(x.view().Row(b), x.view().Row(e - 1) + n);
       }},
      {"rope of halves",
       [](int64_t n, int64_t b, int64_t e) {
         const std::vector<double> inv_freq(static_cast<size_t>(n / 2), 0.3);
         const std::vector<float> table = RopeTableOf(inv_freq, 1.5, RopeOrder::kHalves, 50);
         std::vector<int32_t> position(kRows);
         for (size_t r = 0; r < position.size(); ++r)
           position[r] = static_cast<int32_t>(r * 31 % 50);
         TestMatrix x = Input(1, n);
         RopeInPlace(x.view().Rows(b, e - b), 0, 1, n,
                     {n / 2 * 2, table.data(), 50, RopeOrder::kHalves}, position.data() + b, false);
         return std::vector<float>(x.view().Row(b), x.view().Row(e - 1) + n);
       }},
      {"add",
       [](int64_t n, int64_t b, int64_t e) {
         TestMatrix y = Input(1, n);
         AddInPlace(Input(2, n).view().Rows(b, e - b), y.view().Rows(b, e - b));
         return std::vector<float>(y.view().Row(b), y.view().Row(e - 1) + n);
       }},
  };
}

TEST(RowOps, GiveTheSameBitsOnAllInstructionSetsAndThreads) {
  for (const RowCase& row_case : RowCases()) {
    for (const int64_t cols : kSizes) {
      SCOPED_TRACE(testing::Message() << row_case.name << " of " << cols);
      ExpectSameEverywhere([&] { return row_case.run(cols, 0, kRows); });
    }
    SCOPED_TRACE(testing::Message() << row_case.name << ", wide enough for several threads");
    ExpectSameEverywhere([&] { return row_case.run(2000, 0, kRows); });
  }
}

TEST(RowOps, ARowDoesNotDependOnItsBatch) {
  for (const RowCase& row_case : RowCases()) {
    for (const int64_t cols : {5, 16, 67}) {
      const std::vector<float> batch = row_case.run(cols, 0, kRows);
      const std::vector<float> first = row_case.run(cols, 0, 1);
      for (const int64_t r : {0, 1, 20, 36}) {
        const std::vector<float> alone = row_case.run(cols, r, r + 1);
        const size_t pitch = (batch.size() - first.size()) / (kRows - 1);
        const float* in_batch = batch.data() + static_cast<size_t>(r) * pitch;
        EXPECT_EQ(std::memcmp(in_batch, alone.data(), alone.size() * 4), 0)
            << row_case.name << " row " << r;
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
