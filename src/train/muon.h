// Muon (Jordan et al. 2024): momentum, orthogonalised by a Newton-Schulz iteration.
#pragma once

#include "base/arena.h"
#include "base/matrix.h"

namespace darkhorse {

// Replaces m [rows, cols] by an approximation of the nearest semi-orthogonal matrix, U V^T of its
// singular value decomposition: five steps of the quintic with coefficients (3.4445,
// -4.7750, 2.0315), whose singular values end in about [0.7, 1.2].
void Orthogonalise(Matrix m, Arena& arena);

}  // namespace darkhorse
