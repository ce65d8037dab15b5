#include "task/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/ascii.h"
#include "base/error.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

// The sums, products and quotients that attempts at small countdowns and the steps of other tasks
// are made of.
std::string Fact(RandomSequence& random) {
  const int64_t small = random.Between(1, 20);
  const int64_t digit = random.Between(1, 9);
  const int64_t large = random.Between(1, 99);
  switch (random.Below(4)) {
    case 0:
      return fmt::format("{}+{}={}\n", large, small, large + small);
    case 1:
      return fmt::format("{}-{}={}\n", large + small, small, large);
    case 2:
      return fmt::format("{}*{}={}\n", large, digit, large * digit);
    default:
      return fmt::format("{}/{}={}\n", large * digit, digit, large);
  }
}

const TaskShare& Pick(const std::vector<TaskShare>& shares, double uniform) {
  double total = 0;
  for (const TaskShare& share : shares) total += share.weight;
  double left = uniform * total;
  for (const TaskShare& share : shares) {
    left -= share.weight;
    if (left < 0) return share;
  }
  return shares.back();
}

}  // namespace

void CheckMix(const CorpusMix& mix) {
  const auto share = [](const char* name, double value) {
    if (!(value >= 0 && value <= 1))
      FailUsage("corpus: {} is {}; it must be in 0 to 1", name, value);
  };
  share("worked_share", mix.worked_share);
  share("facts_share", mix.facts_share);
  if (mix.worked_share + mix.facts_share > 1 + 1e-9) {
    FailUsage("corpus: worked_share {} and facts_share {} add up to more than 1; lower one",
              mix.worked_share, mix.facts_share);
  }
  if (mix.tasks.empty()) FailUsage("corpus: no tasks; name at least one, such as countdown:1");
  if (mix.facts_per_sheet < 1) {
    FailUsage("corpus: facts_per_sheet is {}; it must be at least 1", mix.facts_per_sheet);
  }
  if (mix.style.max_attempts < 1) {
    FailUsage("corpus: max_attempts is {}; it must be at least 1", mix.style.max_attempts);
  }
  share("straight", mix.style.straight);
  share("check", mix.style.check);
  share("slip", mix.style.slip);
  for (double probability : mix.style.give_up) share("give_up", probability);
  double total = 0;
  for (const TaskShare& task : mix.tasks) {
    const int levels = FindTask(task.task).Levels();
    if (task.level < 1 || task.level > levels) {
      FailUsage("corpus: task {} has no level {}; levels are 1 to {}", task.task, task.level,
                levels);
    }
    if (!(task.weight >= 0 && std::isfinite(task.weight))) {
      FailUsage("corpus: task {} has weight {}; it must be a number >= 0", task.task, task.weight);
    }
    total += task.weight;
  }
  if (!(total > 0)) FailUsage("corpus: all task weights are 0; raise one");
}

std::string CorpusDocument(const CorpusMix& mix, uint64_t seed, uint64_t index) {
  CheckMix(mix);
  RandomSequence random(seed, RandomStream::kCorpus, index);
  const double kind = random.Uniform();
  if (kind >= mix.worked_share && kind < mix.worked_share + mix.facts_share) {
    std::string sheet;
    for (int i = 0; i < mix.facts_per_sheet; ++i) sheet += Fact(random);
    return sheet;
  }
  const TaskShare& share = Pick(mix.tasks, random.Uniform());
  const Task& task = FindTask(share.task);
  const Problem problem = MakeProblem(task, seed, index, share.level, Split::kTrain);
  return problem.prompt + (kind < mix.worked_share ? task.WorkedTrace(problem, mix.style, random)
                                                   : Completion("", task.Guess(problem, random)));
}

std::vector<TaskShare> ParseTaskShares(std::string_view text) {
  std::vector<TaskShare> shares;
  const std::string whole(text);
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view entry = TrimAscii(text.substr(0, comma));
    const size_t equals = entry.find('='), colon = entry.substr(0, equals).find(':');
    TaskShare share;
    share.task = entry.substr(0, std::min(colon, equals));
    const auto parse = [&](size_t from, size_t to, auto& value) {
      const std::string_view digits = entry.substr(from, to == entry.npos ? to : to - from);
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc() || end != digits.data() + digits.size()) {
        FailUsage("tasks: '{}' in '{}'; write name:level=weight, such as countdown:1=0.7", entry,
                  whole);
      }
    };
    if (colon != entry.npos) parse(colon + 1, equals, share.level);
    if (equals != entry.npos) parse(equals + 1, entry.npos, share.weight);
    FindTask(share.task);
    const bool twice = std::ranges::any_of(shares, [&](const TaskShare& other) {
      return other.task == share.task && other.level == share.level;
    });
    if (twice) {
      FailUsage("{}:{} is listed twice; list it once, with the weight that it is to have",
                share.task, share.level);
    }
    shares.push_back(share);
    if (comma == text.npos) return shares;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace darkhorse
