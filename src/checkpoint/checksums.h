// checksums.json: size and XXH64 of every file of a checkpoint directory.
#pragma once

#include <cstdint>
#include <string>

namespace darkhorse {

// Covers the regular files that lie directly in `directory` now.
void WriteChecksums(const std::string& directory);

// Compares every file with checksums.json. Returns false if there is no such file (the checkpoint
// came from elsewhere). Error naming the first file that differs.
bool VerifyChecksums(const std::string& directory);

// One number that changes when a file of the checkpoint does, not when the directory moves.
// Believes checksums.json where there is one.
uint64_t CheckpointFingerprint(const std::string& directory);

}  // namespace darkhorse
