// Muon (Jordan et al. 2024): momentum, orthogonalised by a Newton-Schulz iteration.
#pragma once

#include "base/arena.h"
#include "base/matrix.h"
#include "kernel/weight.h"

namespace darkhorse {

// Replaces m [rows, cols] by an approximation of the nearest semi-orthogonal matrix, U V^T of its
// singular value decomposition: five steps of the quintic with coefficients (3.4445,
// -4.7750, 2.0315), whose singular values end in about [0.7, 1.2]. The products are computed in
// `format`; bf16 is what Jordan et al. use. By the calling thread alone.
void Orthogonalise(Matrix m, Arena& arena, Format format = Format::kF32);

}  // namespace darkhorse
