#include "app/command.h"

#include <gtest/gtest.h>

#include "app/flags.h"
#include "base/error.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

struct Values {
  bool yes = false;
  int whole = 3;
  int64_t large = 4;
  uint64_t natural = 5;
  float single = 0.5f;
  double real = 0.25;
  std::string text = "standard";
  std::vector<int64_t> integers;
  std::vector<std::string> texts, each_time;
  std::optional<int64_t> maybe;
  std::optional<double> maybe_real;
  std::string place;
  int64_t within = 2;
  double within_reals = 0.5;
  std::string one_of = "a";
  int runs = 0;
};

// What the command line sets; it also throws what Program::Run does.
Values Parse(const std::vector<std::string>& arguments) {
  Values v;
  Program program("prog", "prog 1", "help");
  Command app = program.command();
  app.NeedsCommand();
  Command command = app.AddCommand("make", "makes");
  command.Add("--yes", v.yes, "");
  command.Add("--whole", v.whole, "");
  command.Add("--large", v.large, "");
  command.Add("--natural", v.natural, "");
  command.Add("--single", v.single, "");
  command.Add("--real", v.real, "");
  command.Add("--text", v.text, "");
  command.Add("--integers", v.integers, "");
  command.Add("--texts", v.texts, "");
  command.Add("--each-time", v.each_time, "").OneValueEachTime();
  command.Add("--maybe", v.maybe, "");
  command.Add("--maybe-real", v.maybe_real, "");
  command.Add("place", v.place, "").Required();
  command.Add("--within", v.within, "").Within(1, 10);
  command.Add("--within-reals", v.within_reals, "").WithinReals(0, 1);
  command.Add("--one-of", v.one_of, "").OneOf({"a", "b"});
  command.Runs([&] { ++v.runs; });
  app.AddCommand("measure", "measures").Runs([] { ADD_FAILURE(); });
  program.Run(arguments);
  return v;
}

std::string Refused(const std::vector<std::string>& arguments) {
  return MessageOf([&] { Parse(arguments); });
}

TEST(Command, FlagsSetTheirVariables) {
  const Values v = Parse({"make",
                          "here",
                          "--yes",
                          "--whole",
                          "-7",
                          "--large=9007199254740993",
                          "--natural",
                          "18446744073709551615",
                          "--single",
                          "1.5",
                          "--real=-2e-3",
                          "--text",
                          "words",
                          "--integers",
                          "1",
                          "2",
                          "--texts",
                          "a",
                          "b",
                          "--each-time",
                          "c",
                          "--each-time",
                          "d",
                          "--maybe",
                          "8",
                          "--maybe-real",
                          "0.75",
                          "--within",
                          "10",
                          "--within-reals",
                          "1",
                          "--one-of",
                          "b"});
  EXPECT_EQ(v.runs, 1);
  EXPECT_EQ(v.place, "here");
  EXPECT_TRUE(v.yes);
  EXPECT_EQ(v.whole, -7);
  EXPECT_EQ(v.large, 9007199254740993);
  EXPECT_EQ(v.natural, UINT64_MAX);
  EXPECT_EQ(v.single, 1.5f);
  EXPECT_EQ(v.real, -2e-3);
  EXPECT_EQ(v.text, "words");
  EXPECT_EQ(v.integers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(v.texts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(v.each_time, (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(v.maybe, 8);
  EXPECT_EQ(v.maybe_real, 0.75);
  EXPECT_EQ(v.within, 10);
  EXPECT_EQ(v.within_reals, 1);
  EXPECT_EQ(v.one_of, "b");
}

TEST(Command, WhatIsNotGivenStays) {
  const Values v = Parse({"make", "here"});
  EXPECT_EQ(v.whole, 3);
  EXPECT_EQ(v.text, "standard");
  EXPECT_EQ(v.maybe, std::nullopt);
  EXPECT_TRUE(v.texts.empty());
}

TEST(Command, NumbersAreDecimalFiniteAndOfTheirType) {
  const auto says = [](const std::string& flag, const std::string& value, const std::string& part) {
    return Says(Refused({"make", "here", flag + "=" + value}), part);
  };
  EXPECT_TRUE(says("--large", "010", "write 010 without leading zeros"));
  EXPECT_TRUE(says("--large", "-010", "write -010 without leading zeros"));
  EXPECT_EQ(Parse({"make", "here", "--large=0"}).large, 0);
  EXPECT_EQ(Parse({"make", "here", "--real=0.5"}).real, 0.5);
  EXPECT_EQ(Parse({"make", "here", "--real=00.5"}).real, 0.5);  // no octal number
  EXPECT_TRUE(says("--large", "9223372036854775808", "9223372036854775808 is too far from 0"));
  EXPECT_TRUE(says("--whole", "2147483648", "is too far from 0"));
  EXPECT_TRUE(says("--large", "1.5", "'1.5' is not an integer ("));
  EXPECT_TRUE(says("--large", "0x10", "'0x10' is not an integer"));
  EXPECT_TRUE(says("--natural", "-1", "'-1' is not an integer of at least 0"));
  EXPECT_TRUE(says("--real", "x", "'x' is not a number"));
  EXPECT_TRUE(says("--real", "nan", "'nan' is not a number"));
  EXPECT_TRUE(says("--real", "inf", "'inf' is not a number"));
  EXPECT_TRUE(says("--real", "1e999", "'1e999' is not a number"));
  EXPECT_TRUE(says("--integers", "01", "without leading zeros"));
  EXPECT_TRUE(says("--maybe", "x", "'x' is not an integer"));
  EXPECT_TRUE(says("--maybe-real", "nan", "'nan' is not a number"));
}

// Libraries know fields; who typed a flag reads its name.
TEST(Command, FieldsAreToldByTheirFlags) {
  const auto told = [](const std::string& message) {
    return MessageOf([&] {
      Program program("prog", "prog 1", "help");
      Command command = program.command().AddCommand("make", "makes");
      int64_t tokens = 0;
      command.Add("--max-tokens", tokens, "");
      command.Runs([&] { FailUsage("{}", message); });
      program.Run({"make"});
    });
  };
  EXPECT_EQ(told("max_tokens is -1; it cannot be"), "--max-tokens is -1; it cannot be");
  EXPECT_EQ(told("max_tokens = -1 is too small"), "--max-tokens = -1 is too small");
  EXPECT_EQ(told("min_tokens is -1"), "min_tokens is -1");
  EXPECT_EQ(told("r.toml:3: max_tokens is -1"), "r.toml:3: max_tokens is -1");
  EXPECT_EQ(told("tokens"), "tokens");
}

TEST(Command, BoundsBelongToTheRange) {
  EXPECT_EQ(Refused({"make", "here", "--within=1"}), "");
  EXPECT_EQ(Refused({"make", "here", "--within=10"}), "");
  EXPECT_NE(Refused({"make", "here", "--within=0"}), "");
  EXPECT_NE(Refused({"make", "here", "--within=11"}), "");
  EXPECT_EQ(Refused({"make", "here", "--within-reals=0"}), "");
  EXPECT_NE(Refused({"make", "here", "--within-reals=1.001"}), "");
  EXPECT_NE(Refused({"make", "here", "--within-reals=-0.001"}), "");
  EXPECT_NE(Refused({"make", "here", "--one-of=c"}), "");
}

TEST(Command, UnknownNamesAreToldTheNearest) {
  EXPECT_EQ(Refused({"make", "here", "--hole", "1"}),
            "prog make: unknown flag '--hole'; did you mean '--whole'?");
  EXPECT_EQ(Refused({"make", "here", "--hole=1"}),
            "prog make: unknown flag '--hole'; did you mean '--whole'?");
  EXPECT_EQ(Refused({"make", "here", "--zzzzzzzz"}),
            "prog make: unknown flag '--zzzzzzzz'; see prog make --help");
  // Near is up to half of what was typed.
  EXPECT_EQ(Refused({"make", "here", "--whxx"}),
            "prog make: unknown flag '--whxx'; did you mean '--whole'?");
  EXPECT_EQ(Refused({"mak"}), "unknown command 'mak'; did you mean 'make'?");
  EXPECT_EQ(Refused({"mesure", "--whole", "1"}),
            "unknown command 'mesure'; did you mean 'measure'?");
  EXPECT_EQ(Refused({"xy"}), "unknown command 'xy'; there are make, measure");
  EXPECT_EQ(Refused({"make", "here", "there"}),
            "prog make: unexpected 'there' (see prog make --help)");
  EXPECT_TRUE(Says(Refused({"make"}), "place is required (see prog make --help)"));
  EXPECT_TRUE(Says(Refused({}), "(see prog --help)"));
  // One value each time: the second is left over.
  EXPECT_EQ(Refused({"make", "here", "--each-time", "a", "b"}),
            "prog make: unexpected 'b' (see prog make --help)");
}

struct Config {
  bool flag = false;
  int64_t max_tokens = 7;
  double rate = 0.5;
  int size = 2;
  std::vector<std::string> names = {"x"};
};
void ListFields(Config& c, FieldList& list) {
  list.Add("flag", c.flag, "a flag");
  list.Add("max_tokens", c.max_tokens, "tokens at most");
  list.Add("rate", c.rate, "a rate");
  list.Add("size", c.size, "a size");
  list.Add("names", c.names, "names");
}

TEST(AddFieldFlags, AFlagPerField) {
  Config config;
  Program program("prog", "prog 1", "help");
  Command command = program.command();
  AddFieldFlags(command, FieldsOf(config), {{"size", "--width"}}).at("size").Within(1, 4);
  program.Run(
      {"--flag", "--max-tokens", "9", "--names", "a,b", "c", "--names", "d", "--width", "3"});
  EXPECT_TRUE(config.flag);
  EXPECT_EQ(config.max_tokens, 9);
  EXPECT_EQ(config.rate, 0.5);
  EXPECT_EQ(config.names, (std::vector<std::string>{"a,b", "c", "d"}));
  EXPECT_EQ(config.size, 3);
  EXPECT_TRUE(Says(MessageOf([&] { program.Run({"--max-tokens", "x"}); }), "--max-tokens"));
  EXPECT_TRUE(Says(MessageOf([&] { program.Run({"--width", "5"}); }), "--width"));
  EXPECT_TRUE(Says(MessageOf([&] { program.Run({"--size", "3"}); }), "--size"));
  testing::internal::CaptureStdout();
  program.Run({"--help"});
  const std::string help = testing::internal::GetCapturedStdout();
  EXPECT_NE(help.find("--max-tokens INT"), std::string::npos) << help;
  EXPECT_NE(help.find("--rate FLOAT"), std::string::npos) << help;
  EXPECT_NE(help.find("--names TEXT"), std::string::npos) << help;
  EXPECT_NE(help.find("tokens at most"), std::string::npos) << help;
}

TEST(AddSamplingFlags, EachSetsItsParameter) {
  SamplingParams sampling;
  Program program("prog", "prog 1", "help");
  AddSamplingFlags(program.command(), &sampling);
  program.Run({"--temperature", "0.5", "--top-k", "6", "--top-p", "0.75", "--min-p", "0.125",
               "--repetition-penalty", "1.5", "--presence-penalty", "-0.5", "--frequency-penalty",
               "0.25"});
  EXPECT_EQ(sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(sampling.presence_penalty, -0.5f);
  EXPECT_EQ(sampling.frequency_penalty, 0.25f);
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_k, 6);
  EXPECT_EQ(sampling.top_p, 0.75f);
  EXPECT_EQ(sampling.min_p, 0.125f);
}

// Fields are called by the flags that set them, where they are meant.
TEST(WithFlags, NamesOfFieldsBecomeFlags) {
  const std::map<std::string, std::string> flags = {
      {"problems.rule", "--rule"}, {"split_text", "--split-text"}, {"format", "--format"}};
  EXPECT_EQ(WithFlags("problems.rule is x, problems.rules is y; set split_text.", flags),
            "--rule is x, problems.rules is y; set --split-text.");
  EXPECT_EQ(WithFlags("format is x; the format of split_text.json and my_split_text", flags),
            "--format is x; the format of split_text.json and my_split_text");
  EXPECT_EQ(
      WithFlags("split_text/a.jsonl: of texts/split_text and a-split_text: split_text", flags),
      "split_text/a.jsonl: of texts/split_text and a-split_text: --split-text");
  EXPECT_EQ(MessageOf([&] { TellingFlags(flags, [] { FailUsage("format is x"); }); }),
            "--format is x");
  EXPECT_THROW(TellingFlags(flags, [] { FailUsage("format is x"); }), UsageError);
}

}  // namespace
}  // namespace darkhorse
