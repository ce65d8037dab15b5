// What the program says where a file that is mapped into memory is cut short under it.
#pragma once

namespace darkhorse {

// From now on reading what is no longer there of a mapped file ends the program with a line that
// names the file, and exit code 1.
void TellOfCutFiles();

}  // namespace darkhorse
