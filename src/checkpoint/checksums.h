// checksums.json: size and XXH64 of every file of a checkpoint directory.
#pragma once

#include <cstdint>
#include <string>

namespace darkhorse {

// The two files that only training reads.
inline constexpr const char* kTrainerStateFile = "trainer_state.json";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";

// Covers the regular files that lie directly in `directory` now.
void WriteChecksums(const std::string& directory);

// What a reader will read: it need not look at, nor even have, the rest.
enum class Verify { kModel, kModelAndTrainer };

// Compares the files with checksums.json. Returns false if there is no such file (the checkpoint
// came from elsewhere). Error naming the first file that differs.
bool VerifyChecksums(const std::string& directory, Verify what);

// One number that changes when a file of the checkpoint does, not when the directory moves: of a
// folder, or of a GGUF file with all its parts. Believes checksums.json where there is one.
uint64_t CheckpointFingerprint(const std::string& directory);

}  // namespace darkhorse
