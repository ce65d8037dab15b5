// Views of row-major matrices: a pointer, a shape and a row stride. A view never owns.
#pragma once

#include <cstdint>

namespace darkhorse {

template <typename T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  MatrixView() = default;
  MatrixView(T* data_in, int64_t rows_in, int64_t cols_in)
      : data(data_in), rows(rows_in), cols(cols_in), stride(cols_in) {}
  MatrixView(T* data_in, int64_t rows_in, int64_t cols_in, int64_t stride_in)
      : data(data_in), rows(rows_in), cols(cols_in), stride(stride_in) {}

  // A mutable view converts to a read-only one.
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }

  T* Row(int64_t row) const { return data + row * stride; }
  T& operator()(int64_t row, int64_t col) const { return data[row * stride + col]; }
  MatrixView Rows(int64_t begin, int64_t count) const {
    return {data + begin * stride, count, cols, stride};
  }
  MatrixView Cols(int64_t begin, int64_t count) const {
    return {data + begin, rows, count, stride};
  }
  int64_t size() const { return rows * cols; }
};

using Matrix = MatrixView<float>;
using ConstMatrix = MatrixView<const float>;

}  // namespace darkhorse
