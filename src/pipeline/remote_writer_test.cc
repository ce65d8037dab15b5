// Sampling from a teacher behind a URL, which here is a function.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "base/json.h"
#include "data/chat_rows.h"
#include "pipeline/answer_writer.h"
#include "pipeline/sampling.h"
#include "rl/tiny_run_testing.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;
constexpr char kUrl[] = "http://127.0.0.1:1";

class FakeTeacher : public RemoteTeacher {
 public:
  using Answers = std::function<RemoteAnswer(const Json&)>;
  FakeTeacher(std::string model, Answers answers)
      : model_(std::move(model)), answers_(std::move(answers)) {}
  const std::string& model() const override { return model_; }
  RemoteAnswer Answer(const Json& request) override { return answers_(request); }

 private:
  const std::string model_;
  const Answers answers_;
};

// Answers follow from the seed: half of them are right.
RemoteAnswer BySeed(const Json& request) {
  const bool even = request["seed"].get<int64_t>() % 2 == 0;
  return {.thought = "2",
          .content = even ? "<answer>even</answer>" : "<answer>odd</answer>",
          .tokens = 9};
}

class RemoteWriterTest : public ReinforceTest {
 protected:
  RemoteWriterTest() {
    recipe_.sample.tasks = {"parity:1"};
    recipe_.sample.problems = 7;
    recipe_.sample.samples = 4;
    recipe_.sample.problems_at_once = 3;
    recipe_.sample.slots = 5;
    recipe_.problems.answer = "tags";
  }
  SampleResult Sample(const std::string& name, const FakeTeacher::Answers& answers = BySeed,
                      const StopRequest& stop = {}) {
    SampleCallbacks callbacks;
    // Callers need not bear several threads.
    const auto caller = std::this_thread::get_id();
    callbacks.on_note = [this, caller](const std::string& note) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      notes_.push_back(note);
    };
    callbacks.on_tokens = [this, caller](int64_t tokens) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      tokens_ = tokens;
    };
    callbacks.stop = stop;
    callbacks.teachers = {.connect =
                              [this, answers](const TeacherPlace& place, const StopRequest&) {
                                EXPECT_EQ(place.url, kUrl);
                                return std::make_unique<FakeTeacher>(
                                    place.model.empty() ? model_ : place.model, answers);
                              },
                          .tries = 3,
                          .first_wait = first_wait_};
    return SampleAnswers(recipe_, kUrl, RunPath(name), /*resume=*/true, callbacks);
  }
  static std::string File(const std::string& name, const std::string& file) {
    return ReadFile(RunPath(name) + "/" + file);
  }

  SampleRecipe recipe_;
  std::string model_ = "sage";
  std::vector<std::string> notes_;
  int64_t tokens_ = 0;
  double first_wait_ = 1e-3;
};

TEST_F(RemoteWriterTest, AsksAChatForEachAnswerAndKeepsWhatIsRight) {
  recipe_.prompt.system = "Be brief.";
  recipe_.prompt.thinking = "on";
  recipe_.sample.top_p = 0.5;
  std::mutex mutex;
  std::set<int64_t> seeds;
  const SampleResult result = Sample("remote", [&](const Json& request) {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(request["messages"][0], Json({{"role", "system"}, {"content", "Be brief."}}));
    EXPECT_EQ(request["messages"][1]["role"], "user");
    EXPECT_EQ(request["messages"].size(), 2u);
    EXPECT_EQ(request["thinking"], "on");
    EXPECT_EQ(request["top_p"], 0.5);
    EXPECT_EQ(request["temperature"], 1.0);
    EXPECT_EQ(request["max_tokens"], recipe_.sample.max_tokens);
    seeds.insert(request["seed"].get<int64_t>());
    EXPECT_LT(request["seed"].get<int64_t>(), int64_t{1} << 31);
    return BySeed(request);
  });
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(seeds.size(), 28u);
  EXPECT_EQ(result.selection.answers, 28);
  EXPECT_GT(result.selection.kept, 0);
  EXPECT_EQ(tokens_, 28 * 9);
  int64_t chats = 0;
  ForEachChat({result.chats}, [&](const Chat& chat) {
    ++chats;
    ASSERT_EQ(chat.messages.size(), 3u);
    const std::string said = chat.messages[2]["content"];
    EXPECT_TRUE(said.starts_with("<think>2</think><answer>")) << said;
  });
  EXPECT_EQ(chats, result.selection.kept);
  ExpectMessage(File("remote", "README.md"),
                {"Right answers of sage to", "| model | sage, asked of its server |"});
}

TEST_F(RemoteWriterTest, HowManyAtOnceAndWhoIsInterruptedChangeNothing) {
  Sample("whole");
  recipe_.sample.slots = 1;
  recipe_.sample.problems_at_once = 7;
  Sample("one");
  EXPECT_EQ(File("one", "samples.jsonl"), File("whole", "samples.jsonl"));
  recipe_.sample.slots = 5;
  recipe_.sample.problems_at_once = 3;
  std::atomic<int> asked{0};
  // Slow enough to be stopped in the middle of a batch.
  const auto counted = [&](const Json& request) {
    if (++asked > 15) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return BySeed(request);
  };
  EXPECT_FALSE(Sample("parts", counted, [&] { return asked > 15; }).finished);
  EXPECT_TRUE(Sample("parts").finished);
  for (const char* file : {"samples.jsonl", "chats.jsonl", "README.md"})
    EXPECT_EQ(File("parts", file), File("whole", file)) << file;
}

TEST_F(RemoteWriterTest, OneThatIsAwayIsAskedAgainAndWhatWasAnsweredStays) {
  Sample("whole");
  std::atomic<int> asked{0};
  const auto away_at = [&](int from, int to) {
    return [&asked, from, to](const Json& request) {
      const int number = ++asked;
      if (number >= from && number < to) throw TeacherAway("the sage sleeps", 0);
      return BySeed(request);
    };
  };
  EXPECT_TRUE(Sample("naps", away_at(5, 7)).finished);
  EXPECT_EQ(File("naps", "samples.jsonl"), File("whole", "samples.jsonl"));
  EXPECT_EQ(notes_, std::vector<std::string>{"the sage sleeps; asked again in 0 s"});
  asked = 0;
  ExpectMessage(MessageOf([&] { Sample("sleeps", away_at(15, 1000)); }),
                {"the sage sleeps; asked 3 times in vain; what was answered is saved"});
  EXPECT_EQ(std::ranges::count(File("sleeps", "samples.jsonl"), '\n'), 3);
  EXPECT_TRUE(Sample("sleeps").finished);
  EXPECT_EQ(File("sleeps", "samples.jsonl"), File("whole", "samples.jsonl"));
  // Each wait is twice the one before.
  notes_.clear();
  first_wait_ = 0.3;
  recipe_.sample.slots = 1;
  asked = 0;
  EXPECT_TRUE(Sample("waits", away_at(1, 3)).finished);
  EXPECT_EQ(notes_, (std::vector<std::string>{"the sage sleeps; asked again in 0 s",
                                              "the sage sleeps; asked again in 1 s"}));
  // What no other try would mend is asked once.
  asked = 0;
  EXPECT_EQ(MessageOf([&] {
              Sample("refused", [&](const Json&) -> RemoteAnswer {
                ++asked;
                throw Error("no such model");
              });
            }),
            "no such model");
  EXPECT_EQ(asked, 1);
}

TEST_F(RemoteWriterTest, AThoughtThatNothingFollowsIsNotClosed) {
  Sample("thoughtful", [](const Json&) {
    return RemoteAnswer{.thought = "2 and", .content = "", .tokens = 3, .cut_off = true};
  });
  const Json line = Json::parse(File("thoughtful", "samples.jsonl")
                                    .substr(0, File("thoughtful", "samples.jsonl").find('\n')));
  EXPECT_EQ(line["samples"][0]["text"], "<think>2 and");
  EXPECT_EQ(line["samples"][0]["cut_off"], true);
}

TEST_F(RemoteWriterTest, AnotherModelIsAnotherTeacher) {
  Sample("run");
  model_ = "fool";
  recipe_.sample.problems = 8;
  ExpectMessage(MessageOf([&] { Sample("run"); }), {"model"});
  recipe_.sample.served_model = "sage";
  ExpectMessage(MessageOf([&] { Sample("run"); }), {"served_model = \"sage\"", "[sample]"});
  recipe_.sample.served_model = "";
  model_ = "sage";
  EXPECT_TRUE(Sample("run").finished);
}

TEST_F(RemoteWriterTest, RefusesWhatAServerCannotBeAskedFor) {
  const SampleRecipe asked = recipe_;
  const auto refused = [&](auto&& change) {
    recipe_ = asked;
    change(recipe_);
    const std::string why = MessageOf([&] { Sample("refused"); });
    EXPECT_FALSE(FileExists(RunPath("refused")));
    return why;
  };
  const std::string end = ", which a server (http://127.0.0.1:1) cannot be asked for";
  EXPECT_EQ(refused([](SampleRecipe& r) { r.sample.writer = "traces"; }),
            "sample.writer is traces" + end);
  EXPECT_EQ(refused([](SampleRecipe& r) { r.sample.weights = "q8"; }),
            "sample.weights names a format" + end);
  EXPECT_EQ(refused([](SampleRecipe& r) { r.prompt.prefill = "<think>"; }),
            "prompt.prefill says how answers begin" + end);
  EXPECT_EQ(refused([](SampleRecipe& r) { r.prompt.form = "plain"; }),
            "prompt.template is plain" + end);
}

TEST(Written, TheEndMarkIsNoPartOfWhatRepeats) {
  Sample sample{.completion = std::vector<int32_t>(65, 3), .truncated = false, .text = "3"};
  sample.completion.back() = 1;
  EXPECT_TRUE(Written(sample).repeats);
  EXPECT_EQ(Written(sample).tokens, 65);
  sample.truncated = true;  // then it is a token as any other
  EXPECT_FALSE(Written(sample).repeats);
}

}  // namespace
}  // namespace darkhorse
