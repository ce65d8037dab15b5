#include "report/data.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

const StageNames kStages{.pretraining = "first",
                         .reinforcement = "second",
                         .before = "first.json",
                         .after = "second.json"};

TEST(ReadReportData, ARunOfSeveralStages) {
  ScratchDirectory scratch;
  scratch.Write("run/recipe.toml", "whole = 1\n");
  scratch.Write("run/first/recipe.toml", "base = 1\n");
  scratch.Write("run/first/metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  scratch.Write("run/first/timings.jsonl", "{\"step\":1,\"seconds\":3}\n");
  scratch.Write("run/second/recipe.toml", "rl = 1\n");
  scratch.Write("run/second/metrics.jsonl", "{\"step\":1,\"reward\":0.5}\n{\"step\":2}\n");
  scratch.Write("run/second/samples.jsonl", "{\"step\":1,\"prompt\":\"p\"}\n");
  scratch.Write("run/second/probe.json", "{\"parts\":[]}");
  scratch.Write("run/first.json", "[{\"task\":\"sum\",\"pass@1\":0.25}]");
  scratch.Write("run/second.json", "[{\"task\":\"sum\",\"pass@1\":0.75}]");
  const ReportData data = ReadReportData(scratch / "run", kStages);
  EXPECT_EQ(data.name, "run");
  EXPECT_EQ(data.recipe, "whole = 1\n");
  EXPECT_EQ(data.pretraining.directory, scratch / "run/first");
  EXPECT_EQ(data.pretraining.recipe, "base = 1\n");
  EXPECT_EQ(data.pretraining.metrics, std::vector<Json>({{{"step", 1}, {"loss", 2.5}}}));
  EXPECT_EQ(data.pretraining.timings, std::vector<Json>({{{"step", 1}, {"seconds", 3}}}));
  EXPECT_EQ(data.reinforcement.recipe, "rl = 1\n");
  EXPECT_EQ(data.reinforcement.metrics.size(), 2u);
  EXPECT_EQ(data.reinforcement.samples, std::vector<Json>({{{"step", 1}, {"prompt", "p"}}}));
  EXPECT_TRUE(data.reinforcement.probe.contains("parts"));
  EXPECT_EQ(data.before.when, "first");
  EXPECT_EQ(data.before.tasks[0]["pass@1"], 0.25);
  EXPECT_EQ(data.after.when, "second");
  EXPECT_EQ(data.after.tasks[0]["pass@1"], 0.75);
  // Of a run that begins with a model of others', and measures nothing.
  const ReportData later = ReadReportData(scratch / "run", {.reinforcement = "second"});
  EXPECT_FALSE(later.pretraining.present());
  EXPECT_TRUE(later.reinforcement.present());
  EXPECT_TRUE(later.after.tasks.empty());
}

TEST(ReadReportData, ARunOfOneStage) {
  ScratchDirectory scratch;
  scratch.Write("p/metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  const ReportData pretraining = ReadReportData(scratch / "p", kStages);
  EXPECT_TRUE(pretraining.pretraining.present());
  EXPECT_FALSE(pretraining.reinforcement.present());
  EXPECT_TRUE(pretraining.before.tasks.empty() && pretraining.after.tasks.empty());
  // Measured as it goes: the first and the last measurement are told.
  const auto line = [](int step, double pass) {
    return Json{{"step", step}, {"reward", 0}, {"evaluation", {{{"task", "a"}, {"pass@1", pass}}}}}
               .dump() +
           "\n";
  };
  scratch.Write("r/metrics.jsonl",
                line(10, 0.125) + line(20, 0.25) + "{\"step\":25,\"reward\":0}\n" + line(30, 0.5));
  ReportData rl = ReadReportData(scratch / "r", kStages);
  EXPECT_FALSE(rl.pretraining.present());
  EXPECT_EQ(rl.reinforcement.metrics.size(), 4u);
  EXPECT_EQ(rl.before.when, "after step 10");
  EXPECT_EQ(rl.before.tasks[0]["pass@1"], 0.125);
  EXPECT_EQ(rl.after.when, "after step 30");
  EXPECT_EQ(rl.after.tasks[0]["pass@1"], 0.5);
  // Measured before its first step, it is compared with that; also while it has no step yet.
  const std::string start = R"({"step":0,"evaluation":[{"task":"a","pass@1":0.0625}]})"
                            "\n";
  scratch.Write("r/metrics.jsonl", start + line(10, 0.125) + line(20, 0.25));
  rl = ReadReportData(scratch / "r", kStages);
  EXPECT_EQ(rl.before.when, "at the start");
  EXPECT_EQ(rl.before.tasks[0]["pass@1"], 0.0625);
  EXPECT_EQ(rl.after.when, "after step 20");
  EXPECT_EQ(rl.reinforcement.steps(), 2u);
  scratch.Write("r/metrics.jsonl", start);
  rl = ReadReportData(scratch / "r", kStages);
  EXPECT_TRUE(rl.reinforcement.present());
  EXPECT_EQ(rl.after.when, "at the start");
  // Measured once, that is how it is, not how it was.
  scratch.Write("r/metrics.jsonl", line(10, 0.125));
  rl = ReadReportData(scratch / "r", kStages);
  EXPECT_TRUE(rl.before.tasks.empty());
  EXPECT_EQ(rl.after.when, "after step 10");
}

TEST(ReadReportData, LinesThatAreNoneArePassedOver) {
  ScratchDirectory scratch;
  scratch.Write("metrics.jsonl",
                "{\"step\":1,\"loss\":3}\n{\"step\":\"x\"}\n{\"loss\":1}\n[]\nnull\n\n\xff\n"
                "{\"step\":2,\"loss\":2}\n{\"step\":3,\"lo");
  const ReportData data = ReadReportData(scratch.path(), kStages);
  ASSERT_EQ(data.pretraining.metrics.size(), 2u);
  EXPECT_EQ(data.pretraining.metrics[1]["step"], 2);
  EXPECT_TRUE(Says(MessageOf([&] { ReadReportData(scratch / "nowhere", kStages); }),
                   "nowhere: no such folder; give the directory of a run"));
  // Of a run of one stage alone, where the directory itself is no file of scores.
  EXPECT_TRUE(Says(MessageOf([&] { ReadReportData(ScratchDirectory().path(), {}); }),
                   "holds no run: metrics.jsonl has no line"));
}

TEST(TaskName, HasTheLevelWhereThereIsOne) {
  EXPECT_EQ(TaskName({{"task", "sum"}, {"level", 2}}), "sum level 2");
  EXPECT_EQ(TaskName({{"task", "own"}}), "own");
  EXPECT_EQ(TaskName({{"task", "own"}, {"level", "x"}}), "own");
  EXPECT_EQ(TaskName(Json::object()), "");
}

TEST(Curve, LinesWithoutTheFieldAreLeftOut) {
  const std::vector<Json> lines = {{{"step", 3}, {"loss", 1.5}},
                                   {{"step", 4}},
                                   {{"step", 7}, {"loss", "x"}},
                                   {{"step", 9}, {"loss", -2}}};
  const std::vector<Point> curve = Curve(lines, "loss");
  ASSERT_EQ(curve.size(), 2u);
  EXPECT_EQ(curve[0].x, 3);
  EXPECT_EQ(curve[0].y, 1.5);
  EXPECT_EQ(curve[1].x, 9);
  EXPECT_EQ(curve[1].y, -2);
  EXPECT_EQ(curve[1].below + curve[1].above, 0);
  EXPECT_TRUE(std::isnan(NumberAt(lines[2], "loss")));
  EXPECT_TRUE(std::isnan(NumberAt(lines[1], "loss")));
}

TEST(CostOf, CoreSecondsAreOfEachStepsOwnThreads) {
  const Cost cost = CostOf({{{"step", 1},
                             {"seconds", 2},
                             {"flops", 3e9},
                             {"threads", 4},
                             {"sample_seconds", 1.5},
                             {"tail_seconds", 0.5}},
                            {{"step", 2}, {"seconds", 5}, {"flops", 4e9}, {"threads", 1}},
                            {{"step", 3}, {"seconds", "x"}, {"threads", 8}},
                            {{"step", 4}, {"seconds", 1}}});
  EXPECT_EQ(cost.flops, 7e9);
  EXPECT_EQ(cost.seconds, 8);
  EXPECT_EQ(cost.sample_seconds, 1.5);
  EXPECT_EQ(cost.tail_seconds, 0.5);
  EXPECT_EQ(cost.core_seconds, 13);  // 2 * 4 + 5 * 1
}

// Reads an event file as its formats are defined: a row per step of "step tag=value ...". Checks
// what TensorBoard checks.
class EventFile {
 public:
  explicit EventFile(std::string bytes) : bytes_(std::move(bytes)) {}

  std::vector<std::string> Read() {
    std::vector<std::string> events;
    while (at_ < bytes_.size()) {
      const std::string head = Take(8);
      EXPECT_EQ(Little(Take(4)), Masked(head));
      const std::string payload = Take(Little(head));
      EXPECT_EQ(Little(Take(4)), Masked(payload));
      events.push_back(Event(payload));
    }
    return events;
  }

 private:
  std::string Take(uint64_t size) {
    EXPECT_LE(at_ + size, bytes_.size());
    const std::string taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }
  static uint64_t Little(const std::string& bytes) {
    uint64_t value = 0;
    for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    return value;
  }
  // CRC-32C bit by bit, then rotated right by 15 and moved by a constant.
  static uint64_t Masked(const std::string& bytes) {
    uint32_t crc = 0xFFFFFFFF;
    for (const char c : bytes) {
      crc ^= static_cast<uint8_t>(c);
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc % 2 == 1 ? 0x82F63B78 : 0);
    }
    crc = ~crc;
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF;
  }
  // Fields of a message: number -> bytes (of a varint: its value spelled little-endian).
  static std::vector<std::pair<uint64_t, std::string>> Fields(const std::string& message) {
    std::vector<std::pair<uint64_t, std::string>> fields;
    size_t at = 0;
    const auto varint = [&] {
      uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<uint8_t>(message.at(at++));
        value |= uint64_t{byte & 0x7FU} << shift;
        if (byte < 0x80) return value;
      }
    };
    while (at < message.size()) {
      const uint64_t key = varint();
      size_t size = 0;
      if (key % 8 == 0) {
        const uint64_t value = varint();
        fields.emplace_back(key / 8, std::to_string(value));
        continue;
      }
      size = key % 8 == 1 ? 8 : key % 8 == 5 ? 4 : varint();
      fields.emplace_back(key / 8, message.substr(at, size));
      at += size;
    }
    return fields;
  }
  static std::string Event(const std::string& payload) {
    std::string step = "0", scalars;
    for (const auto& [number, bytes] : Fields(payload)) {
      if (number == 2) step = bytes;
      if (number == 3) scalars += " version " + bytes;
      if (number != 5) continue;
      for (const auto& [one, value] : Fields(bytes)) {
        EXPECT_EQ(one, 1u);
        for (const auto& [part, content] : Fields(value)) {
          if (part == 1) scalars += " " + content;
          if (part != 2) continue;
          float real = 0;
          std::memcpy(&real, content.data(), 4);
          scalars += "=" + Json(real).dump();
        }
      }
    }
    return step + scalars;
  }

  std::string bytes_;
  size_t at_ = 0;
};

TEST(ShareAt, ReadsBoundsAndWhatOlderVersionsWrote) {
  const auto bounds = [](const Json& task) {
    const Interval share = ShareAt(task, "pass@1");
    return std::vector<double>{share.value, share.low, share.high};
  };
  EXPECT_EQ(bounds({{"pass@1", 0.5}, {"pass@1_ci95", {0.25, 0.875}}}),
            (std::vector<double>{0.5, 0.25, 0.875}));
  EXPECT_EQ(bounds({{"pass@1", 0.5}, {"pass@1_ci95", 0.125}}),
            (std::vector<double>{0.5, 0.375, 0.625}));
  EXPECT_EQ(bounds({{"pass@1", 0.875}, {"pass@1_ci95", 0.25}}),
            (std::vector<double>{0.875, 0.625, 1}));
  EXPECT_EQ(bounds({{"pass@1", 0.125}, {"pass@1_ci95", 0.25}}),
            (std::vector<double>{0.125, 0, 0.375}));
  for (const char* bad :
       {"[]", "[0.5]", "[0, 0.5, 1]", "[\"a\", 1]", "[0, null]", "\"0.5\"", "null"}) {
    const Interval share = ShareAt({{"pass@1", 0.5}, {"pass@1_ci95", Json::parse(bad)}}, "pass@1");
    EXPECT_EQ(share.value, 0.5);
    EXPECT_TRUE(std::isnan(share.low) && std::isnan(share.high)) << bad;
  }
  EXPECT_TRUE(std::isnan(ShareAt({{"pass@1", 0.5}}, "pass@1").low));
  EXPECT_TRUE(std::isnan(ShareAt(Json::object(), "pass@1").value));
}

TEST(TensorBoardFileOf, HoldsEveryNumberUnderItsName) {
  RunRecord run;
  run.metrics = {{{"step", 1}, {"loss", 2.5}, {"note", "text"}, {"load", {1, 2}}},
                 {{"step", 300},
                  {"loss", -0.125},
                  {"kl", 0},
                  {"evaluation",
                   {{{"task", "sum"}, {"level", 2}, {"pass@1", 0.5}, {"pass@1_ci95", {0.25, 0.75}}},
                    {{"task", "own"}, {"pass@1", 0.75}},
                    {{"level", 1}, {"pass@1", 0.875}}}}}};
  EXPECT_EQ(EventFile(TensorBoardFileOf(run)).Read(),
            (std::vector<std::string>{"0 version brain.Event:2", "1 loss=2.5",
                                      "300 loss=-0.125 kl=0.0 eval/sum:2/pass@1=0.5 "
                                      "eval/sum:2/pass@1_ci95/low=0.25 "
                                      "eval/sum:2/pass@1_ci95/high=0.75 eval/own/pass@1=0.75"}));
}

}  // namespace
}  // namespace darkhorse
