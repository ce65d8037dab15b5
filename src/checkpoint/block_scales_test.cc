#include "checkpoint/block_scales.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/random.h"
#include "base/scratch_testing.h"
#include "checkpoint/config_json.h"
#include "checkpoint/model_source.h"
#include "kernel/f8.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

using Shape = std::vector<int64_t>;

// None of them NaN.
std::string RandomNumbers(size_t count) {
  RandomSequence random(5, RandomStream::kTest, 1);
  std::string bytes;
  for (size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<uint8_t>(random.Below(256));
    bytes.push_back(static_cast<char>((bits & 0x7f) == 0x7f ? 0 : bits));
  }
  return bytes;
}

TensorView View(const std::string& bytes, DType dtype, Shape shape) {
  return {"t", dtype, std::move(shape), std::as_bytes(std::span(bytes))};
}

TEST(BlockScalesTest, OneOfEachBlockAndOfThoseAtTheEdges) {
  EXPECT_EQ(ScalesShape(Shape{128, 256}), (Shape{1, 2}));
  EXPECT_EQ(ScalesShape(Shape{129, 1}), (Shape{2, 1}));
  EXPECT_EQ(ScalesShape(Shape{576, 7168}), (Shape{5, 56}));
}

TEST(BlockScalesTest, EachNumberIsMultipliedByItsBlocksScale) {
  constexpr int64_t kRows = 300, kCols = 257;
  const std::vector<float> f32 = {0.1f, 3, -0.7f, 1e-8f, 5, 6, 7, 1.0f / 3, 9};
  const std::string f32_bytes(reinterpret_cast<const char*>(f32.data()), 36);
  const std::string e8m0_bytes = "\x7f\x80\x60\x70\x81\x82\x83\x84\x85";
  for (const bool powers : {false, true}) {
    const TensorView scales =
        powers ? View(e8m0_bytes, DType::kF8E8m0, {3, 3}) : View(f32_bytes, DType::kF32, {3, 3});
    std::vector<float> weights(kRows * kCols);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.3f * static_cast<float>(i % 1000);
    std::vector<float> scaled = weights;
    MultiplyByScales(scales, "f", 0, kRows, kCols, scaled.data());
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t col = 0; col < kCols; ++col) {
        const auto block = static_cast<size_t>(row / 128 * 3 + col / 128);
        const float scale =
            powers ? std::ldexp(1.0f, static_cast<uint8_t>(e8m0_bytes[block]) - 127) : f32[block];
        const auto i = static_cast<size_t>(row * kCols + col);
        ASSERT_EQ(scaled[i], weights[i] * scale) << row << ", " << col;
      }
    }
    // Any range of rows.
    for (const auto& [begin, count] : {std::pair{100, 60}, {128, 1}, {250, 50}, {0, 300}}) {
      std::vector<float> part(weights.begin() + begin * kCols,
                              weights.begin() + (begin + count) * kCols);
      MultiplyByScales(scales, "f", begin, count, kCols, part.data());
      EXPECT_EQ(
          std::memcmp(part.data(), scaled.data() + begin * kCols, part.size() * sizeof(float)), 0);
    }
  }
}

// A folder whose gate_proj of layer 0 is in F8_E4M3.
class EightBitFolderTest : public testing::Test {
 protected:
  struct Tensor {
    std::string dtype;
    Shape shape;
    std::string bytes;
  };
  EightBitFolderTest() : layout_(config_) {
    dir_.Write("config.json", WriteConfigJson(config_, "bfloat16"));
    for (const ParamInfo& param : layout_.params()) {
      tensors_[param.name] = {"F32", param.shape,
                              std::string(static_cast<size_t>(param.size) * 4, '\0')};
    }
    const ParamInfo& info = *layout_.Find(kName);
    tensors_[kName] = {"F8_E4M3", info.shape, RandomNumbers(static_cast<size_t>(info.size))};
    tensors_[ScalesName(kName)] = {"F8_E8M0", {2, 2}, "\x7e\x80\x82\x7f"};
  }
  std::unique_ptr<ModelSource> Open() {
    std::string header, data;
    for (const auto& [name, tensor] : tensors_) {
      header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                            header.empty() ? "{" : ",", name, tensor.dtype, ShapeText(tensor.shape),
                            data.size(), data.size() + tensor.bytes.size());
      data += tensor.bytes;
    }
    header += "}";
    const uint64_t size = header.size();
    dir_.Write("model.safetensors",
               std::string(reinterpret_cast<const char*>(&size), 8) + header + data);
    return OpenModel(dir_.path());
  }
  std::string Error() {
    return MessageOf([&] { Open(); });
  }
  static ModelConfig Config() {
    ModelConfig config = TinyConfig();
    config.hidden_size = 130;
    config.intermediate_size = 150;
    return config;
  }

  static constexpr const char* kName = "model.layers.0.mlp.gate_proj.weight";
  ModelConfig config_ = Config();
  ParamLayout layout_;
  ScratchDirectory dir_;
  std::map<std::string, Tensor> tensors_;
};

TEST_F(EightBitFolderTest, IsReadAsTheNumbersThatItStandsFor) {
  const auto source = Open();
  std::vector<float> weights(static_cast<size_t>(layout_.buffer_size()), NAN);
  ReadWeights(*source, layout_, weights.data());
  const ParamInfo& info = *layout_.Find(kName);
  const float scales[4] = {0.5f, 2, 8, 1};
  for (int64_t i = 0; i < info.size; ++i) {
    const int64_t row = i / info.shape[1], col = i % info.shape[1];
    const auto bits = static_cast<uint8_t>(tensors_[kName].bytes[static_cast<size_t>(i)]);
    ASSERT_EQ(weights[static_cast<size_t>(info.offset + i)],
              ToFloat(F8E4m3{bits}) * scales[row / 128 * 2 + col / 128])
        << row << ", " << col;
  }
  EXPECT_EQ(source->Rows(info).type, nullptr);
}

TEST_F(EightBitFolderTest, ScalesMustBeThere) {
  tensors_[ScalesName(kName)].shape = {4};
  EXPECT_EQ(Error(), dir_.path() + ": tensor '" + kName + "' is F8_E4M3, and its scales '" +
                         ScalesName(kName) +
                         "' of shape [2, 2] are [4] (and 1 more such); config.json and the tensors "
                         "do not belong together, fetch both again");
  tensors_.erase(ScalesName(kName));
  EXPECT_EQ(Error(), dir_.path() + ": tensor '" + kName + "' is F8_E4M3, and its scales '" +
                         ScalesName(kName) +
                         "' of shape [2, 2] are missing; config.json and the tensors do not belong "
                         "together, fetch both again");
}

TEST_F(EightBitFolderTest, ANumberThatIsNoneIsRefused) {
  tensors_[kName].bytes[7] = '\x7f';
  std::vector<float> weights(static_cast<size_t>(layout_.buffer_size()));
  const auto source = Open();
  EXPECT_NE(MessageOf([&] {
              ReadWeights(*source, layout_, weights.data());
            }).find("holds numbers that are not finite"),
            std::string::npos);
}

}  // namespace
}  // namespace darkhorse
