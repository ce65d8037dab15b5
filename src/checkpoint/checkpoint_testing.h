// Tests only: a small model's checkpoints.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_json.h"
#include "checkpoint/model_source.h"
#include "checkpoint/run_directory.h"
#include "model/config_testing.h"

namespace darkhorse {

inline ModelConfig Tiny() {
  ModelConfig config = TinyConfig();
  config.num_nextn_predict_layers = 1;
  return config;
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() : layout_(config_), weights_(static_cast<size_t>(layout_.buffer_size())) {
    InitializeWeights(config_, layout_, 1, weights_.data());
    moments_ = {1.5f, -2.0f, 3.25f};
    files_.tokenizer_json =
        R"({"added_tokens":[{"id":0,"content":"<s>"},{"id":1,"content":"</s>"}]})";
  }
  ~CheckpointTest() override { publication_hook = nullptr; }

  TrainerState State(int64_t step) const {
    return {step,
            R"({"seed":18446744073709551615,"ema":0.1,"recipe":{"b":1,"a":[2]}})",
            {{"m", moments_}}};
  }
  void Publish(int64_t step, int64_t keep = 9) {
    weights_[0] = static_cast<float>(step);
    PublishStep(run(), keep, config_, layout_, weights_.data(), files_, State(step));
  }
  void PublishPlain(const std::string& directory) {
    PublishCheckpoint(directory, config_, layout_, weights_.data(), files_, nullptr);
  }
  std::vector<float> Loaded(const std::string& directory) const {
    std::vector<float> out(weights_.size(), 99.0f);
    ReadWeights(*OpenModel(directory), layout_, out.data());
    return out;
  }
  // What loading says of a checkpoint whose config.json is that of config_ and has no checksums.
  std::string LoadMessage(const std::string& directory) const {
    std::filesystem::remove(directory + "/checksums.json");
    WriteFileAtomically(directory + "/config.json", WriteConfigJson(config_, "float32"));
    return MessageOf([&] { Loaded(directory); });
  }
  std::string run() const { return dir_ / "run"; }
  size_t CheckpointEntries() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(run() + "/checkpoints"),
                      std::filesystem::directory_iterator()));
  }

  ScratchDirectory dir_;
  ModelConfig config_ = Tiny();
  ParamLayout layout_;
  std::vector<float> weights_;
  std::vector<float> moments_;
  ModelFiles files_;
};

inline void FlipBit(const std::string& path, size_t byte) {
  std::string text = ReadFile(path);
  ASSERT_LT(byte, text.size());
  text[byte] = static_cast<char>(text[byte] ^ 16);
  WriteFileAtomically(path, text);
}

}  // namespace darkhorse
