// How often a word occurs in a list of words: count cat in dog cat sun cat.
#include <fmt/format.h>

#include <array>

#include "task/builtin.h"

namespace darkhorse {
namespace {

// A language's words stand for the same numbers.
constexpr std::array<const char*, 8> kEnglish = {"cat", "dog",  "sun",  "tree",
                                                 "red", "fish", "moon", "bird"};
constexpr std::array<const char*, 8> kChinese = {"猫", "狗", "太阳", "树",
                                                 "红", "鱼", "月亮", "鸟"};

constexpr int kWords[] = {8, 12, 20};

class Count : public IntegerTask {
 public:
  std::string Name() const override { return "count"; }
  int Levels() const override { return std::size(kWords); }
  std::string Help() const override {
    return "How often does the first word occur in the list? Think inside <think> and </think>, "
           "then give the count inside <answer> and </answer>.";
  }

  std::string Guess(const Problem& problem, RandomSequence& random) const override {
    return std::to_string(random.Below(problem.numbers.size()));
  }

 protected:
  // numbers: the word that is counted, then the list, as places in the words.
  void Draw(int level, RandomSequence& random, Problem& problem) const override {
    const int64_t counted = random.Between(0, std::ssize(kEnglish) - 1);
    problem.numbers = {counted};
    // Of four words, so that the counted one occurs a few times, and none is told by its rarity.
    std::array<int64_t, 4> few = {counted, 0, 0, 0};
    for (size_t i = 1; i < few.size(); ++i) few[i] = random.Between(0, std::ssize(kEnglish) - 1);
    for (int i = 0; i < kWords[level - 1]; ++i) {
      problem.numbers.push_back(few[random.Below(few.size())]);
      problem.target += problem.numbers.back() == counted;
    }
    problem.prompt = fmt::format("count {}\n", List(problem, kEnglish, " in ", " "));
    problem.answer = std::to_string(problem.target);
  }

  std::string Sentence(const Problem& problem, Words words) const override {
    if (words == Words::kChinese)
      return fmt::format("“{}”这个词在下面的列表中出现了几次：{}？",
                         kChinese[static_cast<size_t>(problem.numbers[0])],
                         List(problem, kChinese, "", "、"));
    return fmt::format("How many times does the word \"{}\" occur in this list: {}?",
                       kEnglish[static_cast<size_t>(problem.numbers[0])],
                       List(problem, kEnglish, "", ", "));
  }

  // The count so far, word by word.
  std::vector<std::string> Steps(const Problem& problem) const override {
    std::vector<std::string> steps;
    int64_t count = 0;
    for (size_t i = 1; i < problem.numbers.size(); ++i) {
      count += problem.numbers[i] == problem.numbers[0];
      steps.push_back(
          fmt::format("{} {}", kEnglish[static_cast<size_t>(problem.numbers[i])], count));
    }
    return steps;
  }

 private:
  // The list; with `between`, after the counted word and this.
  static std::string List(const Problem& problem, const std::array<const char*, 8>& words,
                          std::string_view between, std::string_view comma) {
    std::string text;
    if (!between.empty())
      text = words[static_cast<size_t>(problem.numbers[0])] + std::string(between);
    for (size_t i = 1; i < problem.numbers.size(); ++i) {
      if (i > 1) text += comma;
      text += words[static_cast<size_t>(problem.numbers[i])];
    }
    return text;
  }
};

}  // namespace

std::unique_ptr<Task> MakeCount() { return std::make_unique<Count>(); }

}  // namespace darkhorse
