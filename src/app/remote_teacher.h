// Teachers behind a URL, for all that samples from one.
#pragma once

#include "pipeline/remote_teacher.h"

namespace darkhorse {

// A server of OpenAI's API.
std::unique_ptr<RemoteTeacher> ConnectToServer(const TeacherPlace& place, StopRequest stop);

}  // namespace darkhorse
