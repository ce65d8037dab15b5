// Ways to end long work early. Work that takes long is given a StopRequest and asks it between
// steps and inside them, so that a command saves before it exits and does so soon.
#pragma once

#include <functional>

namespace darkhorse {

// True: end soon. Asked by the thread that called, often; an empty one never stops.
using StopRequest = std::function<bool()>;

// How work that was asked to stop leaves: not an Error, for nothing is wrong. Whoever catches it is
// where it was before the step began.
class Interruption {};
inline void LeaveIfAsked(const StopRequest& stop) {
  if (stop && stop()) throw Interruption();
}

// SIGINT and SIGTERM as a flag of the process. Only commands read it: they pass Interrupted as the
// StopRequest. From CatchInterrupts on the first signal sets the flag; a second one ends the
// process at once.
void CatchInterrupts();
bool Interrupted();

}  // namespace darkhorse
