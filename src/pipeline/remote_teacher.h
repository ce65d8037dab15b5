// A teacher behind a URL, as sampling knows it; who speaks HTTP is given by the caller.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"

namespace darkhorse {

// Whether a teacher's name is a URL instead of a path.
inline bool IsUrl(const std::string& model) {
  return model.starts_with("http://") || model.starts_with("https://");
}

// Nothing is wrong with what was asked: the same may be had later.
class TeacherAway : public Error {
 public:
  // seconds: after which the teacher wants to be asked again; 0: it does not say.
  TeacherAway(const std::string& why, double seconds) : Error(why), seconds_(seconds) {}
  double seconds() const { return seconds_; }

 private:
  double seconds_;
};

struct RemoteAnswer {
  std::string thought, content;
  int64_t tokens = 0;  // as the teacher counts them, thought included
  bool cut_off = false;
};

// One connection, one request after the other.
class RemoteTeacher {
 public:
  virtual ~RemoteTeacher() = default;
  // The model's name there.
  virtual const std::string& model() const = 0;
  // request: a chat completion's fields but for the model. Error; TeacherAway; Interruption.
  virtual RemoteAnswer Answer(const nlohmann::ordered_json& request) = 0;
};

struct TeacherPlace {
  std::string url;
  std::string model;     // "": the first that the server has
  std::string key_file;  // "": none is needed
};
// How sampling comes to teachers behind URLs.
struct RemoteTeachers {
  // Throws what RemoteTeacher::Answer does. `stop` is asked on the thread that uses the teacher.
  std::function<std::unique_ptr<RemoteTeacher>(const TeacherPlace& place, StopRequest stop)>
      connect;
  int tries = 8;          // of a request, while the teacher is away
  double first_wait = 1;  // seconds before the second; then doubling, up to a minute
};

}  // namespace darkhorse
