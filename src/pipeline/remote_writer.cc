// A server as the writer of answers: one request an answer, several at once, each over a connection
// of its own.
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "pipeline/answer_writer.h"
#include "rl/answers.h"
#include "rl/prompter.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMostAtOnce = 32;  // requests, whatever sample.slots allows
constexpr int kFirstTries = 3;       // before anything was answered
constexpr double kLongestWait = 60;  // seconds between two tries

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

class RemoteWriter : public AnswerWriter {
 public:
  RemoteWriter(const AnswerWork& work, const std::string& url, const RemoteTeachers& teachers)
      : work_(work),
        options_(work.recipe.sample),
        place_{url, options_.served_model, options_.key_file},
        teachers_(teachers),
        instruction_(
            InstructionFor(work.recipe.prompt, /*chats=*/true, InstructionOf(work.decided))) {
    RefuseWhatServersLack();
    // Another model is another teacher, wherever the server is.
    place_.model =
        WithPatience({std::min(teachers_.tries, kFirstTries), "", work_.stop, work_.on_note},
                     [&] { return teachers_.connect(place_, work_.stop)->model(); });
  }

  uint64_t Fingerprint() const override { return StableHash(place_.model); }
  std::string Name() const override { return Printable(place_.model, 200); }
  std::string Shown() const override { return Name() + ", asked of its server"; }
  std::string Worded(const Problem& problem) const override {
    return darkhorse::Worded(problem, instruction_);
  }

  std::vector<WrittenAnswer> Answer(int64_t first, int64_t count) override {
    const int64_t wanted = count * options_.samples;
    std::vector<WrittenAnswer> answers(static_cast<size_t>(wanted));
    std::atomic<int64_t> next{0}, tokens{0};
    std::atomic<bool> leave{false};
    std::exception_ptr failure;
    std::vector<std::string> notes;
    std::mutex mutex;  // of `failure` and `notes`
    std::atomic<int64_t> working{std::min({wanted, options_.slots, kMostAtOnce})};
    const auto work = [&] {
      try {
        std::unique_ptr<RemoteTeacher> teacher;
        const auto stop = [&] { return leave.load(); };
        const Patience patience{teachers_.tries,
                                "; what was answered is saved, and resuming goes on", stop,
                                [&](const std::string& note) {
                                  const std::lock_guard lock(mutex);
                                  notes.push_back(note);
                                }};
        for (int64_t i; !leave && (i = next++) < wanted;) {
          answers[static_cast<size_t>(i)] = WithPatience(patience, [&] {
            if (!teacher) teacher = teachers_.connect(place_, stop);
            try {
              return Ask(*teacher, first + i / options_.samples, i % options_.samples);
            } catch (...) {
              teacher.reset();
              throw;
            }
          });
          tokens += answers[static_cast<size_t>(i)].tokens;
        }
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!leave.exchange(true)) failure = std::current_exception();
      }
      --working;
    };
    // What the caller gave is called on this thread alone.
    const auto tell = [&] {
      if (const int64_t more = tokens.exchange(0); more > 0) work_.on_tokens(more);
      std::vector<std::string> said;
      {
        const std::lock_guard lock(mutex);
        said.swap(notes);
      }
      for (const std::string& note : said) Tell(note);
    };
    {
      std::vector<std::jthread> threads;
      for (int64_t i = working; i > 0; --i) threads.emplace_back(work);
      for (; working > 0; Sleep(0.01)) {
        if (work_.stop && work_.stop()) leave = true;
        tell();
      }
    }
    tell();
    if (failure) std::rethrow_exception(failure);
    if (leave) throw Interruption();
    ScoreAnswers(work_, first, &answers);
    return answers;
  }

 private:
  void RefuseWhatServersLack() const {
    const auto refuse = [this](bool is, const char* what) {
      if (is) FailUsage("{}, which a server ({}) cannot be asked for", what, place_.url);
    };
    refuse(options_.writer != "model", "sample.writer is traces");
    refuse(options_.weights != "auto", "sample.weights names a format");
    refuse(!work_.recipe.prompt.prefill.empty(), "prompt.prefill says how answers begin");
    refuse(work_.recipe.prompt.form == "plain", "prompt.template is plain");
  }

  WrittenAnswer Ask(RemoteTeacher& teacher, int64_t number, int64_t sample) const {
    const Problem& problem = work_.problems[static_cast<size_t>(number)];
    const uint64_t draw = static_cast<uint64_t>(number * options_.samples + sample);
    Json request{{"messages", MessagesOf(work_.recipe.prompt, Worded(problem))},
                 {"max_tokens", options_.max_tokens},
                 {"temperature", options_.temperature},
                 // Some servers take no seed beyond 31 bits.
                 {"seed", RandomBits(options_.seed, RandomStream::kSample, draw) >> 33}};
    if (options_.top_p < 1) request["top_p"] = options_.top_p;
    if (const std::string& thinking = work_.recipe.prompt.thinking; thinking != "auto")
      request["thinking"] = thinking;
    const RemoteAnswer said = teacher.Answer(request);
    WrittenAnswer answer{.text = said.content, .tokens = said.tokens, .truncated = said.cut_off};
    if (!said.thought.empty())  // one that nothing follows was not closed
      answer.text =
          "<think>" + said.thought + (said.content.empty() ? "" : "</think>") + said.content;
    return answer;
  }

  struct Patience {
    int most;           // tries
    std::string saved;  // what an error adds
    StopRequest stop;   // asked while it waits
    std::function<void(const std::string&)> on_note;
  };
  // What `ask` returns, once the teacher is there. Error: it was away too long.
  template <typename Ask>
  auto WithPatience(const Patience& patience, const Ask& ask) const -> decltype(ask()) {
    double wait = teachers_.first_wait;
    for (int tries = 1;; ++tries, wait = std::min(2 * wait, kLongestWait)) {
      try {
        return ask();
      } catch (const TeacherAway& away) {
        if (tries >= patience.most)
          Fail("{}; asked {} times in vain{}", away.what(), tries, patience.saved);
        const double seconds = std::min(std::max(wait, away.seconds()), kLongestWait);
        patience.on_note(fmt::format("{}; asked again in {:.0f} s", away.what(), seconds));
        for (double left = seconds; left > 0; left -= 0.1) {
          LeaveIfAsked(patience.stop);
          Sleep(std::min(left, 0.1));
        }
      }
    }
  }

  // Many requests fail alike.
  void Tell(const std::string& what) {
    if (what == told_) return;
    told_ = what;
    work_.on_note(what);
  }

  const AnswerWork work_;
  const SampleOptions& options_;
  TeacherPlace place_;
  const RemoteTeachers teachers_;
  const std::string instruction_;
  std::string told_;
};

}  // namespace

std::unique_ptr<AnswerWriter> MakeRemoteWriter(const AnswerWork& work, const std::string& url,
                                               const RemoteTeachers& teachers) {
  return std::make_unique<RemoteWriter>(work, url, teachers);
}

}  // namespace darkhorse
