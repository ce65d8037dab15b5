// --speculate changes no text.
#include <gtest/gtest.h>

#include "app/commands_testing.h"

namespace darkhorse {
namespace {

class SpeculateTest : public CommandsTest {
 protected:
  static std::vector<std::string> Generate(const std::string& model, const std::string& guesser) {
    return {"generate", "--model",      model, "--prompt",    "1+2",  "--samples",
            "2",        "--max-tokens", "90",  "--speculate", guesser};
  }
  static std::vector<std::string> With(std::vector<std::string> command,
                                       const std::vector<std::string>& more) {
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
};

TEST_F(SpeculateTest, TheTextIsTheSame) {
  // Modules have experts.
  JsonOf({"pretrain", scratch_->Write("m.toml", kPretrain), "--set",
          "model.num_nextn_predict_layers=1", "--set", "model.n_routed_experts=4", "--set",
          "model.num_experts_per_tok=2", "--set", "model.moe_intermediate_size=16", "--data",
          *scratch_ / "data", "--out", *scratch_ / "module"});
  const std::string module = *scratch_ / "module/checkpoints/step-00000003";
  for (const char* cache : {"expanded", "latent"}) {
    const auto say = [&](const std::string& model, const std::string& guesser) {
      return JsonOf(With(Generate(model, guesser), {"--cache", cache}));
    };
    const Json plain = say(Model(), "off"), of_module = say(module, "off");
    EXPECT_NE(plain, of_module);
    for (const std::string& guesser : {std::string("auto"), std::string("lookup"), module})
      EXPECT_EQ(say(Model(), guesser), plain) << guesser;
    for (const std::string& guesser : {std::string("auto"), std::string("mtp"), Model()})
      EXPECT_EQ(say(module, guesser), of_module) << guesser;
  }
}

// Greedily such a model falls into a circle, in which what comes next is easily looked up.
TEST_F(SpeculateTest, WhatWasGuessedIsTold) {
  const auto told = [&](const std::string& guesser) {
    const auto command = With(Generate(Model(), guesser), {"--temperature", "0"});
    return CallProgram(command).error.find(" guessed token") != std::string::npos;
  };
  EXPECT_TRUE(told("auto"));
  EXPECT_FALSE(told("off"));
}

TEST_F(SpeculateTest, WhatCannotGuessIsRefused) {
  const auto error = [&](const std::string& guesser) {
    const Outcome outcome = CallProgram(Generate(Model(), guesser));
    EXPECT_NE(outcome.code, 0);
    return outcome.error;
  };
  EXPECT_NE(error("luck").find("--speculate luck: is none of auto, off, lookup and mtp"),
            std::string::npos);
  EXPECT_NE(error("mtp").find("has no module for multi-token prediction"), std::string::npos);
  const std::string tokenizer = *scratch_ / "other.json", data = *scratch_ / "other_data";
  JsonOf({"tokenizer", "train", *scratch_ / "corpus.jsonl", "--out", tokenizer, "--vocab-size",
          "290", "--special-tokens", "<c>", "--special-tokens", "<e>"});
  JsonOf({"data", "prepare", *scratch_ / "corpus.jsonl", "--tokenizer", tokenizer, "--out", data,
          "--bos-token", "<c>", "--eos-token", "<e>", "--validation-fraction", "0.25"});
  JsonOf({"pretrain", *scratch_ / "p.toml", "--data", data, "--out", *scratch_ / "other"});
  const std::string said = error(*scratch_ / "other/checkpoints/step-00000003");
  EXPECT_NE(said.find("a draft model needs the same tokenizer"), std::string::npos) << said;
}

}  // namespace
}  // namespace darkhorse
