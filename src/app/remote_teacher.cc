#include "app/remote_teacher.h"

#include <nlohmann/json.hpp>

#include "serve/api_client.h"
#include "serve/api_error.h"

namespace darkhorse {
namespace {

class ServerTeacher : public RemoteTeacher {
 public:
  ServerTeacher(const TeacherPlace& place, StopRequest stop)
      : url_(place.url),
        client_(place.url, place.key_file.empty() ? "" : KeyOfFile(place.key_file),
                {.stop = std::move(stop)}),
        model_(place.model.empty() ? Asked([&] { return client_.FirstModel(); }) : place.model) {}

  const std::string& model() const override { return model_; }

  RemoteAnswer Answer(const nlohmann::ordered_json& request) override {
    nlohmann::ordered_json asked = request;
    asked["model"] = model_;
    if (const auto thinking = asked.find("thinking"); thinking != asked.end()) {
      const bool thinks = *thinking == "on";
      asked.erase("thinking");
      AskForThinking(thinks, &asked);
    }
    RemoteAnswer answer;
    int64_t pieces = 0;
    const StreamEnd end = Asked([&] {
      return client_.Stream("/v1/chat/completions", asked, [&](const StreamPiece& piece) {
        answer.thought += piece.thought;
        answer.content += piece.content;
        ++pieces;
      });
    });
    // A server that does not count sends a token or a few in each piece.
    answer.tokens = end.answer_tokens.value_or(pieces);
    answer.cut_off = end.finish == "length";
    return answer;
  }

 private:
  // What another try may mend is told as such: nobody answers, too many ask, the server fails.
  template <typename Ask>
  auto Asked(const Ask& ask) const -> decltype(ask()) {
    try {
      return ask();
    } catch (const UsageError&) {
      throw;
    } catch (const ApiError& error) {
      const int status = error.status();
      const std::string why = Named(error);
      if (status == 408 || status == 429 || status >= 500) throw TeacherAway(why, 0);
      throw Error(why);
    } catch (const Error& error) {
      throw TeacherAway(Named(error), 0);
    }
  }

  // Some errors name the server themselves.
  std::string Named(const Error& error) const {
    const std::string what = error.what();
    return what.find("http://") == what.npos ? url_ + ": " + what : what;
  }

  const std::string url_;
  ApiClient client_;
  const std::string model_;
};

}  // namespace

std::unique_ptr<RemoteTeacher> ConnectToServer(const TeacherPlace& place, StopRequest stop) {
  return std::make_unique<ServerTeacher>(place, std::move(stop));
}

}  // namespace darkhorse
