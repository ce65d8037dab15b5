// Products and rows of every block format, by every loop for integers, against their definition.
#include "kernel/block_formats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "kernel/block_definitions_testing.h"
#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"
#include "kernel/linear.h"
#include "kernel/unpack.h"

namespace darkhorse {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A packed weight, with memory of its own that held something else before.
class Packed {
 public:
  explicit Packed(const FileBlocks& blocks)
      : memory_(ForwardBytes(blocks.format, blocks.rows, blocks.cols) / 4 + 16),
        weight_{{nullptr, blocks.rows, blocks.cols}, blocks.format, memory_.data()} {
    std::fill(memory_.begin(), memory_.end(), kGuard);
    blocks.Pack(memory_.data());
  }
  const Weight& weight() const { return weight_; }
  float behind() const { return memory_.data()[memory_.size() - 16]; }

 private:
  FloatBuffer memory_;
  Weight weight_;
};

// Which NaN an instruction gives is not defined.
std::vector<float> Defined(std::vector<float> x) {
  for (float& v : x) v = std::isnan(v) ? kNan : v;
  return x;
}

class BlockFormats : public testing::TestWithParam<Format> {
 protected:
  int64_t unit() const { return InfoOf(GgmlTypeOf(GetParam())).numbers; }

  static void ExpectDefinition(const TestMatrix& x, const FileBlocks& blocks) {
    const Packed w(blocks);
    EXPECT_EQ(w.behind(), kGuard);
    const TestMatrix start = TestMatrix::Random(3, x.rows(), blocks.rows, 1);
    for (const bool accumulate : {false, true}) {
      TestMatrix expected = start;
      BlockGemmReference(x, blocks, expected, accumulate);
      WithEveryQuantLoop([&] {
        TestMatrix c = start;
        LinearForward(x, w.weight(), c, accumulate);
        EXPECT_TRUE(SameBits(Defined(c.all()), Defined(expected.all())))
            << x.rows() << "x" << blocks.rows << "x" << x.cols() << accumulate;
      });
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Types, BlockFormats, testing::ValuesIn(kBlockFormatsOfFiles),
                         [](const auto& param) {
                           return std::string(InfoOf(GgmlTypeOf(param.param)).name);
                         });

// Around the rows and columns of 16, the groups of 4 panels and 256 of k, the register tiles, and
// nothing at all.
TEST_P(BlockFormats, EveryInstructionSetIsTheDefinition) {
  struct Shape {
    int64_t m, n, blocks;
  };
  std::vector<Shape> shapes = {{0, 5, 1},   {5, 0, 1},   {3, 5, 0},  {1, 1, 1},  {1, 65, 3},
                               {16, 64, 2}, {33, 49, 1}, {17, 9, 5}, {70, 3, 2}, {2, 130, 9}};
  for (int64_t m = 1; m <= 18; ++m) shapes.push_back({m, 1 + (m * 37) % 90, 1 + m % 4});
  for (const Shape& s : shapes) {
    // A row of the short blocks may end within 64 of k, or within 256.
    const int64_t k = s.blocks * (unit() == 32 ? 3 : 1) * unit();
    ExpectDefinition(TestMatrix::Random(1, s.m, k, s.m % 3), FileBlocks(GetParam(), s.n, k, 2));
  }
}

// Sums as large as they become, of one sign; scales of f16's ends, zero, negative, infinite, NaN;
// activations of zeros, infinities, NaN.
TEST_P(BlockFormats, ExtremesAreTheDefinition) {
  const int64_t k = 512, m = 18;
  TestMatrix x = TestMatrix::Random(1, m, k);
  FileBlocks w(GetParam(), 40, k, 2);
  for (int64_t i = 0; i < k; ++i) {
    x(0, i) = 1;
    x(1, i) = -1;
    x(2, i) = 0;
    x(3, i) *= 0x1p-110f;
    x(4, i) *= 0x1p100f;
  }
  for (int64_t row = 0; row < 4; ++row) {
    std::fill(w.Block(row, 0), w.Block(row, 0) + w.type().BytesOf(k),
              row % 2 ? std::byte{0xff} : std::byte{0x80});
    for (int64_t i = 0; i < k; i += unit()) w.SetScale(row, i, row < 2 ? 0x7bff : 0x0001);
  }
  w.SetScale(4, 0, 0x0000);
  w.SetScale(5, 0, 0x8000);
  w.SetScale(6, 0, 0x83ff);
  ExpectDefinition(x, w);
  for (const int64_t few : {1, 2, 4}) {  // in registers, without unpacking
    TestMatrix first(few, k);
    for (int64_t row = 0; row < few; ++row) {
      for (int64_t i = 0; i < k; ++i) first(row, i) = x(row, i);
    }
    ExpectDefinition(first, w);
  }
  w.SetScale(7, 300, 0x7c00);
  w.SetScale(17, 300, 0x7e00);
  x(5, 70) = std::numeric_limits<float>::infinity();
  x(16, 400) = kNan;
  ExpectDefinition(x, w);
}

TEST_P(BlockFormats, RowsAreTheFilesNumbers) {
  for (const int64_t k : {unit(), 3 * unit(), 5 * unit()}) {
    const FileBlocks blocks(GetParam(), 37, k, 4);
    const std::vector<float> numbers = blocks.Numbers();
    const Packed w(blocks);
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 37}, {16, 16}, {32, 3}}) {
      WithEveryQuantLoop([&] {
        TestMatrix rows(count, k, 1, 99);
        UnpackRows(w.weight(), begin, rows);
        for (int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(std::memcmp(&rows(i, 0), numbers.data() + (begin + i) * k,
                                static_cast<size_t>(k) * sizeof(float)),
                    0)
              << begin + i;
          EXPECT_EQ(rows(i, k), kGuard);
        }
      });
    }
  }
}

TEST_P(BlockFormats, RowsOfAWeightAreAWeight) {
  const int64_t k = 2 * unit();
  const FileBlocks blocks(GetParam(), 70, k, 5);
  const Packed w(blocks);
  const TestMatrix x = TestMatrix::Random(1, 5, k);
  TestMatrix whole(5, 70), part(5, 30);
  LinearForward(x, w.weight(), whole);
  LinearForward(x, w.weight().Rows(32, 30), part);
  for (int64_t row = 0; row < 5; ++row) {
    for (int64_t i = 0; i < 30; ++i) EXPECT_EQ(part(row, i), whole(row, 32 + i));
  }
}

TEST_P(BlockFormats, GroupsAreProductsOfTheirOwn) {
  const std::vector<int64_t> begin = {0, 0, 1, 18, 18, 51, 57};
  const int64_t rows = begin.back(), n = 50, k = unit();
  const TestMatrix x = TestMatrix::Random(1, rows, k, 2);
  std::vector<Packed> packed;
  std::vector<Weight> weights;
  TestMatrix expected(rows, n, 1);
  for (size_t g = 0; g + 1 < begin.size(); ++g) {
    const FileBlocks blocks(GetParam(), n, k, 10 + g);
    packed.emplace_back(blocks);
    weights.push_back(packed.back().weight());
    const int64_t count = begin[g + 1] - begin[g];
    BlockGemmReference(x.view().Rows(begin[g], count), blocks,
                       expected.view().Rows(begin[g], count), false);
  }
  WithEveryQuantLoop([&] {
    TestMatrix c(rows, n, 1);
    GroupedForward(x, begin, weights, c);
    EXPECT_TRUE(SameBits(c.all(), expected.all()));
  });
}

// Memory within 3 % of the file's, for shapes of published models.
TEST_P(BlockFormats, TakeTheFilesBytes) {
  const int64_t k = unit() == 32 ? 576 : 1536;
  const auto file = static_cast<double>(49152 * InfoOf(GgmlTypeOf(GetParam())).BytesOf(k));
  EXPECT_GE(static_cast<double>(ForwardBytes(GetParam(), 49152, k)), file);
  EXPECT_LE(static_cast<double>(ForwardBytes(GetParam(), 49152, k)), 1.03 * file);
}

// The product as that of the numbers that the operands stand for. Of magnitudes below M, the sum of
// |x| (|scale q| + |minimum|), t rounds at most four times a block of 64 and c once, and each
// number here once or twice.
TEST_P(BlockFormats, TheProductIsTheNumbers) {
  const int64_t m = 3, n = 20, k = 512, blocks = k / kQuantBlock;
  const TestMatrix x = TestMatrix::Random(1, m, k);
  const FileBlocks file(GetParam(), n, k, 6);
  const std::vector<float> w = file.Numbers(), most = file.Magnitudes();
  const std::vector<float> a = QuantisedActivations(x);
  TestMatrix c(m, n);
  LinearForward(x, Packed(file).weight(), c);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      double sum = 0, magnitude = 0;
      for (int64_t l = 0; l < k; ++l) {
        const double of_x = a[static_cast<size_t>(i * k + l)];
        sum += of_x * static_cast<double>(w[static_cast<size_t>(j * k + l)]);
        magnitude += std::fabs(of_x) * static_cast<double>(most[static_cast<size_t>(j * k + l)]);
      }
      EXPECT_NEAR(c(i, j), sum, static_cast<double>(blocks + 4 + 4) * kUnit * magnitude);
    }
  }
}

TEST(BlockFormatsTest, TypesOfFiles) {
  for (const Format format : kBlockFormatsOfFiles) {
    EXPECT_TRUE(IsBlocks(format) && IsInteger(format));
    EXPECT_EQ(BlockFormatOf(GgmlTypeOf(format)), format);
  }
  EXPECT_EQ(BlockFormatOf(GgmlType::kF16), std::nullopt);
  EXPECT_FALSE(IsBlocks(Format::kQ4));
}

}  // namespace
}  // namespace darkhorse
