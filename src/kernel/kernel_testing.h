// What the kernel tests share: random matrices with strides, and comparison to the bit over
// instruction sets and threads.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/matrix.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernel/kernels.h"

namespace darkhorse {

inline constexpr double kUnit = 0x1.0p-24;  // relative error of one f32 rounding
inline constexpr float kGuard = 12345.5f;   // what lies between the rows of a strided matrix

// A row-major matrix with `gap` guard columns after each row.
class TestMatrix {
 public:
  TestMatrix(int64_t rows, int64_t cols, int64_t gap = 0, float fill = 0)
      : rows_(rows),
        cols_(cols),
        stride_(cols + gap),
        data_(static_cast<size_t>(rows * stride_), kGuard) {
    for (int64_t r = 0; r < rows; ++r) std::fill_n(data_.data() + r * stride_, cols, fill);
  }
  static TestMatrix Random(uint64_t seed, int64_t rows, int64_t cols, int64_t gap = 0,
                           double scale = 1) {
    TestMatrix m(rows, cols, gap);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        m(r, c) = static_cast<float>(scale * RandomNormal(seed, RandomStream::kTest, r, c));
      }
    }
    return m;
  }
  operator Matrix() { return {data_.data(), rows_, cols_, stride_}; }
  operator ConstMatrix() const { return {data_.data(), rows_, cols_, stride_}; }
  Matrix view() { return *this; }
  ConstMatrix view() const { return *this; }
  float& operator()(int64_t r, int64_t c) { return data_[static_cast<size_t>(r * stride_ + c)]; }
  float operator()(int64_t r, int64_t c) const {
    return data_[static_cast<size_t>(r * stride_ + c)];
  }
  float* data() { return data_.data(); }
  const float* data() const { return data_.data(); }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  const std::vector<float>& all() const { return data_; }  // guards included

 private:
  int64_t rows_, cols_, stride_;
  std::vector<float> data_;
};

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

inline void Append(const std::vector<float>& more, std::vector<float>* all) {
  all->insert(all->end(), more.begin(), more.end());
}

// Restores the kernels and the number of threads.
class KernelScope {
 public:
  KernelScope() : row_(&Kernels()), threads_(NumThreads()) {}
  ~KernelScope() {
    SelectKernels(*row_);
    SetNumThreads(threads_);
  }

 private:
  const KernelRow* row_;
  int threads_;
};

// Runs body for every instruction set that this CPU has, each with 1, 2, 3 and 5 threads.
template <typename Body>
void Everywhere(const Body& body) {
  const KernelScope scope;
  for (const KernelRow* row : SupportedKernels()) {
    SelectKernels(*row);
    for (const int threads : {1, 2, 3, 5}) {
      SCOPED_TRACE(testing::Message() << row->name << ", " << threads << " threads");
      SetNumThreads(threads);
      body();
    }
  }
}

// Runs body with each of the loops for integers that this CPU has, the rows' and those passed over.
template <typename Body>
void WithEveryQuantLoop(const Body& body) {
  const KernelScope scope;
  for (const QuantLoops* loops : SupportedQuantLoops()) {
    KernelRow row = *SupportedKernels().back();
    row.quant = *loops;
    SelectKernels(row);
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(testing::Message() << loops->name << ", " << threads << " threads");
      SetNumThreads(threads);
      body();
    }
    SelectKernels(*SupportedKernels().back());
  }
}

// run() gives the same floats with every instruction set and any number of threads.
template <typename Run>
void ExpectSameEverywhere(const Run& run) {
  std::vector<float> expected;
  {
    const KernelScope scope;
    SetNumThreads(1);
    expected = run();
  }
  Everywhere([&] { EXPECT_TRUE(SameBits(run(), expected)); });
}

}  // namespace darkhorse
