// A packed weight's numbers, for what is not a product with them as they lie: the input gradient
// through a weight that is frozen, and exists packed only.
#pragma once

#include <cstdint>

#include "base/matrix.h"
#include "kernel/weight.h"

namespace darkhorse {

// Rows that begin at a multiple of this are what UnpackRows reads: every packed form lies in panels
// of so many.
inline constexpr int64_t kUnpackedRows = 16;

// out[count, in] = rows begin ... of the weight as its products read them: bf16's rounded, the
// integers of q8, q4 and blocks times their scales. `begin` is a multiple of kUnpackedRows.
void UnpackRows(const Weight& weight, int64_t begin, Matrix out);

}  // namespace darkhorse
