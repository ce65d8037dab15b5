// SIGINT and SIGTERM as a flag that long commands poll, so that they save before they exit.
#pragma once

namespace darkhorse {

// From now on the first signal sets the flag; a second one ends the process at once.
void CatchInterrupts();
bool Interrupted();

}  // namespace darkhorse
