#include "app/serve_load.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/random.h"
#include "serve/api_client.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kRoute[] = "/v1/completions";
constexpr char kWords[] =
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water been";
// So many kinds of failures are told apart.
constexpr size_t kMostFailures = 20;
// Where requests fail, a client asks again after so long.
constexpr auto kPauseAfterFailure = std::chrono::milliseconds(100);

std::vector<std::string> Words() {
  std::istringstream text(kWords);
  return {std::istream_iterator<std::string>(text), {}};
}

// What a request was answered.
struct Answer {
  std::string text, finish;
  std::optional<int64_t> tokens;
  bool operator==(const Answer&) const = default;
};

class Load {
 public:
  explicit Load(const LoadOptions& options) : options_(options) {
    ApiClient client = Connect();
    if (options_.model.empty()) options_.model = client.FirstModel();
    requests_ = LoadRequests(options_, client.Tokenize(kWords).value_or(std::vector<int32_t>()));
  }

  LoadResult Run() {
    if (options_.verify) AskAlone();
    ApiClient watcher = Connect();
    TakeMemory(watcher);
    begin_ = SteadySeconds();
    running_ = options_.clients;
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < options_.clients; ++i) threads.emplace_back([this] { Client(); });
    Watch(watcher);
    for (std::thread& thread : threads) thread.join();
    result_.seconds = std::max(end_ - begin_, 1e-9);
    LeaveIfAsked(options_.stop);
    if (result_.server_memory.size() == 1)
      result_.server_memory.push_back(result_.server_memory[0]);
    TakeMemory(watcher);
    return std::move(result_);
  }

 private:
  ApiClient Connect() const {
    return ApiClient(options_.url, options_.key, {.stop = options_.stop});
  }

  void AskAlone() {
    ApiClient client = Connect();
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (options_.show) options_.show(fmt::format("alone: {} of {}", i + 1, requests_.size()));
      alone_.push_back(Ask(client, requests_[i], [] {}).first);
    }
  }

  template <typename OnPiece>
  static std::pair<Answer, StreamEnd> Ask(ApiClient& client, const Json& request,
                                          OnPiece on_piece) {
    Answer answer;
    StreamEnd end = client.Stream(kRoute, request, [&](const StreamPiece& piece) {
      on_piece();
      answer.text += piece.content;
    });
    answer.finish = end.finish;
    answer.tokens = end.answer_tokens;
    return {std::move(answer), std::move(end)};
  }

  // A thread: one request after the other until there are no more.
  void Client() {
    try {
      ApiClient client = Connect();
      while (const auto next = NextRequest()) {
        if (!AskTimed(client, *next)) std::this_thread::sleep_for(kPauseAfterFailure);
      }
    } catch (const Interruption&) {
    }
    --running_;
  }

  std::optional<size_t> NextRequest() {
    const auto number = static_cast<size_t>(next_++);
    if (options_.stop && options_.stop()) return std::nullopt;
    const bool more = options_.seconds > 0 ? SteadySeconds() - begin_ < options_.seconds
                                           : number < requests_.size();
    return more ? std::optional(number % requests_.size()) : std::nullopt;
  }

  bool AskTimed(ApiClient& client, size_t which) {
    const double asked = SteadySeconds();
    double last = asked;
    std::vector<double> waits;  // for each piece
    try {
      const auto [answer, end] = Ask(client, requests_[which], [&] {
        const double now = SteadySeconds();
        waits.push_back(now - std::exchange(last, now));
      });
      const double ended = SteadySeconds();
      const std::lock_guard lock(mutex_);
      ++result_.answered;
      if (options_.verify && answer != alone_[which]) ++result_.different;
      result_.prompt_tokens += end.prompt_tokens.value_or(0);
      result_.cached_tokens += end.cached_tokens.value_or(0);
      result_.answer_tokens += end.answer_tokens.value_or(static_cast<int64_t>(waits.size()));
      if (!waits.empty()) {
        result_.first.push_back(waits.front());
        result_.between.insert(result_.between.end(), waits.begin() + 1, waits.end());
      }
      result_.whole.push_back(ended - asked);
      end_ = std::max(end_, ended);
      return true;
    } catch (const Error& error) {
      const std::lock_guard lock(mutex_);
      const bool known = result_.failures.contains(error.what());
      const bool room = known || result_.failures.size() < kMostFailures;
      ++result_.failures[room ? error.what() : "other"];
      end_ = std::max(end_, SteadySeconds());
      return false;
    }
  }

  // Shows how far it is while the clients are at it, and asks for the server's memory halfway.
  void Watch(ApiClient& watcher) {
    while (running_ > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      const double seconds = SteadySeconds() - begin_;
      bool halfway = false;
      {
        const std::lock_guard lock(mutex_);
        const auto asked = static_cast<size_t>(result_.answered + result_.failed());
        halfway = result_.server_memory.size() == 1 &&
                  (options_.seconds > 0 ? 2 * seconds >= options_.seconds
                                        : 2 * asked >= requests_.size());
        if (options_.show) {
          options_.show(fmt::format(
              "{} answered · {} failed · {} tokens/s · {}", result_.answered, result_.failed(),
              FormatCount(static_cast<double>(result_.answer_tokens) / seconds),
              FormatDuration(seconds)));
        }
      }
      if (halfway) TakeMemory(watcher);
    }
  }

  void TakeMemory(ApiClient& watcher) {
    std::optional<double> bytes;
    try {
      bytes = MetricOf(watcher.Metrics(), "process_resident_memory_bytes");
    } catch (const Error&) {  // the clients tell what is wrong with the server
    } catch (const Interruption&) {
    }
    if (bytes) result_.server_memory.push_back(*bytes);
  }

  LoadOptions options_;
  std::vector<Json> requests_;
  std::vector<Answer> alone_;  // of each request, where they are compared
  std::atomic<int64_t> next_ = 0, running_ = 0;
  double begin_ = 0;
  std::mutex mutex_;  // of the following
  double end_ = 0;
  LoadResult result_;
};

}  // namespace

int64_t LoadResult::failed() const {
  int64_t sum = 0;
  for (const auto& [what, count] : failures) sum += count;
  return sum;
}

std::vector<Json> LoadRequests(const LoadOptions& options, const std::vector<int32_t>& ids) {
  const std::vector<std::string> words = Words();
  const auto choices = static_cast<int64_t>(ids.empty() ? words.size() : ids.size());
  RandomSequence shared(options.seed, RandomStream::kTest, 0);
  std::vector<int64_t> prefix;
  for (int64_t i = 0; i < options.shared_prefix; ++i)
    prefix.push_back(shared.Between(0, choices - 1));
  std::vector<Json> requests;
  for (int64_t r = 0; r < options.requests; ++r) {
    RandomSequence draws(options.seed, RandomStream::kTest, static_cast<uint64_t>(r) + 1);
    const int64_t prompt = draws.Between(options.prompt_tokens.low, options.prompt_tokens.high);
    const int64_t answer = draws.Between(options.answer_tokens.low, options.answer_tokens.high);
    std::vector<int64_t> drawn = prefix;
    while (static_cast<int64_t>(drawn.size()) < options.shared_prefix + prompt)
      drawn.push_back(draws.Between(0, choices - 1));
    Json request = {{"model", options.model}, {"prompt", ids.empty() ? Json("") : Json::array()}};
    std::string text;
    for (const int64_t choice : drawn) {
      if (ids.empty()) {
        text += (text.empty() ? "" : " ") + words[static_cast<size_t>(choice)];
      } else {
        request["prompt"].push_back(ids[static_cast<size_t>(choice)]);
      }
    }
    if (ids.empty()) request["prompt"] = text;
    request["max_tokens"] = answer;
    request["ignore_eos"] = true;
    request["temperature"] = options.temperature;
    request["seed"] = draws() >> 33;  // what every server takes
    requests.push_back(std::move(request));
  }
  return requests;
}

LoadResult RunLoad(const LoadOptions& options) { return Load(options).Run(); }

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return std::nan("");
  const auto count = static_cast<double>(values.size());
  const auto at = static_cast<size_t>(std::clamp(std::ceil(share * count) - 1, 0.0, count - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace darkhorse
