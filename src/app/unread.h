// What was not read, and what has not been made ready to be: told in the words of commands.
#pragma once

#include <string>

#include "data/corpus.h"

namespace darkhorse {

// Notes what of a corpus was left out or skipped, the first few by name.
void NoteUnread(const CorpusReport& report);

// `data` is where a command looks for token shards. Error, naming the command that makes them,
// where it is a folder without the shard of that name, or a file.
void RequirePrepared(const std::string& data, const std::string& shard);

}  // namespace darkhorse
