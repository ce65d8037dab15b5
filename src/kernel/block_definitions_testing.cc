#include "kernel/block_definitions_testing.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/random.h"
#include "kernel/definitions_testing.h"
#include "kernel/f16.h"

namespace darkhorse {
namespace {

bool HasLeast(Format format) {
  return format == Format::kQ4_1 || format == Format::kQ5_1 || format == Format::kQ4K ||
         format == Format::kQ5K;
}
int64_t OffsetOfScale(Format format) { return format == Format::kQ6K ? 208 : 0; }

void Write(std::byte* to, uint16_t half) { std::memcpy(to, &half, sizeof(half)); }
float Read(const std::byte* from) {
  F16 half;
  std::memcpy(&half, from, sizeof(half));
  return ToFloat(half);
}

// A block's integers: its numbers once all scales are 1 and all minima 0.
std::vector<float> Integers(Format format, const std::byte* block) {
  const GgmlTypeInfo& type = InfoOf(GgmlTypeOf(format));
  std::vector<std::byte> copy(block, block + type.bytes);
  Write(copy.data() + OffsetOfScale(format), 0x3c00);
  if (HasLeast(format)) Write(copy.data() + 2, 0);
  if (format == Format::kQ6K) std::fill_n(copy.begin() + 192, 16, std::byte{1});
  if (format == Format::kQ4K || format == Format::kQ5K) {
    std::fill_n(copy.begin() + 4, 8, std::byte{1});
    std::fill_n(copy.begin() + 12, 4, std::byte{1});
  }
  std::vector<float> q(static_cast<size_t>(type.numbers));
  type.decode(copy.data(), 1, q.data());
  return q;
}

struct Group {
  float scale, least;
};
// Of the group that begins with number k of a block.
Group GroupOf(Format format, const std::byte* block, int64_t k) {
  const float d = Read(block + OffsetOfScale(format));
  if (format == Format::kQ6K)
    return {d * static_cast<float>(static_cast<int8_t>(block[192 + k / 16])), 0};
  if (format == Format::kQ4K || format == Format::kQ5K) {
    const ScaleAndMin six =
        ScaleAndMinOf(reinterpret_cast<const uint8_t*>(block + 4), static_cast<int>(k / 32));
    return {d * static_cast<float>(six.scale), -(Read(block + 2) * static_cast<float>(six.min))};
  }
  return {d, HasLeast(format) ? Read(block + 2) : 0.0f};
}

}  // namespace

FileBlocks::FileBlocks(Format format_in, int64_t rows_in, int64_t cols_in, uint64_t seed)
    : format(format_in), rows(rows_in), cols(cols_in) {
  bytes.resize(static_cast<size_t>(rows * type().BytesOf(cols)));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(RandomBits(seed, RandomStream::kTest, i, 0) & 255);
  const auto half = [&](int64_t row, int64_t k, uint64_t what) {
    return RoundToF16(static_cast<float>(
                          std::exp2(-4 * RandomNormal(seed, RandomStream::kTest, row, k + what)) *
                          RandomNormal(seed + 1, RandomStream::kTest, row, k + what) / 100))
        .bits;
  };
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < cols; k += type().numbers) {
      SetScale(row, k, half(row, k, 0));
      if (HasLeast(format)) Write(Block(row, k) + 2, half(row, k, 1));
    }
  }
}

void FileBlocks::SetScale(int64_t row, int64_t k, uint16_t half) {
  Write(Block(row, k) + OffsetOfScale(format), half);
}

std::vector<float> FileBlocks::Numbers() const {
  std::vector<float> numbers(static_cast<size_t>(rows * cols));
  for (int64_t row = 0; row < rows; ++row)
    type().decode(Row(row), cols / type().numbers, numbers.data() + row * cols);
  return numbers;
}

void FileBlocks::Pack(void* to) const {
  PackBlocks(
      format, rows, cols, [&](int64_t row) { return Row(row); }, to);
}

namespace {

// A row in the terms of the definition.
struct Terms {
  std::vector<int> q;
  std::vector<Group> groups;
};

int64_t GroupSize(Format format) { return format == Format::kQ6K ? 16 : 32; }

Terms TermsOf(const FileBlocks& w, int64_t row) {
  Terms terms;
  for (int64_t k = 0; k < w.cols; k += w.type().numbers) {
    const std::byte* block = w.Row(row) + w.type().BytesOf(k);
    for (const float q : Integers(w.format, block)) terms.q.push_back(static_cast<int>(q));
    for (int64_t g = 0; g < w.type().numbers; g += GroupSize(w.format))
      terms.groups.push_back(GroupOf(w.format, block, g));
  }
  return terms;
}

}  // namespace

std::vector<float> FileBlocks::Magnitudes() const {
  std::vector<float> magnitudes;
  for (int64_t row = 0; row < rows; ++row) {
    const Terms terms = TermsOf(*this, row);
    for (int64_t k = 0; k < cols; ++k) {
      const Group& group = terms.groups[static_cast<size_t>(k / GroupSize(format))];
      magnitudes.push_back(
          std::fabs(group.scale * static_cast<float>(terms.q[static_cast<size_t>(k)])) +
          std::fabs(group.least));
    }
  }
  return magnitudes;
}

void BlockGemmReference(ConstMatrix x, const FileBlocks& w, Matrix c, bool accumulate) {
  const int64_t of_group = GroupSize(w.format);
  std::vector<std::vector<Quantised>> a(static_cast<size_t>(c.rows));
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t k = 0; k < x.cols; k += kQuantBlock)
      a[static_cast<size_t>(i)].push_back(QuantisedBlock(x, i, k));
  }
  for (int64_t j = 0; j < w.rows; ++j) {
    const Terms terms = TermsOf(w, j);
    for (int64_t i = 0; i < c.rows; ++i) {
      float sum = accumulate ? c(i, j) : 0.0f;
      for (int64_t begin = 0; begin < w.cols; begin += kQuantBlock) {
        const Quantised& block =
            a[static_cast<size_t>(i)][static_cast<size_t>(begin / kQuantBlock)];
        float t = 0;
        for (int64_t g = begin; g < std::min(begin + kQuantBlock, w.cols); g += of_group) {
          const Group& group = terms.groups[static_cast<size_t>(g / of_group)];
          int dot = 0, of_x = 0;
          for (int64_t k = g; k < g + of_group; ++k) {
            const int of_row = block.q[static_cast<size_t>(k - begin)];
            dot += of_row * terms.q[static_cast<size_t>(k)];
            of_x += of_row;
          }
          t = std::fma(static_cast<float>(dot), group.scale, t);
          if (HasLeast(w.format)) t = std::fma(group.least, static_cast<float>(of_x), t);
        }
        sum = std::fma(block.scale, t, sum);
      }
      c(i, j) = sum;
    }
  }
}

}  // namespace darkhorse
