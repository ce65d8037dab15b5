// SIGINT and SIGTERM as a flag: long commands poll it between steps and inside them, so that they
// save before they exit and do so soon.
#pragma once

namespace darkhorse {

// From now on the first signal sets the flag; a second one ends the process at once.
void CatchInterrupts();
bool Interrupted();

// What LeaveIfInterrupted throws: not an Error, for nothing is wrong. Whoever catches it is where
// it was before the step began.
class Interruption {};
inline void LeaveIfInterrupted() {
  if (Interrupted()) throw Interruption();
}

}  // namespace darkhorse
