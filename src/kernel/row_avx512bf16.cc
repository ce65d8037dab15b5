// bf16 products of the avx512bf16 row, with AVX512_BF16. Only plain loops here: a weak symbol
// compiled with this file's flags could replace the one that every CPU runs.
// GCC 12 reports the deliberately undefined operands inside <avx512fintrin.h> (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstdint>

#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/bf16_round_avx512bf16.inl"
#include "kernel/bf16_tiles_avx512.inl"
#include "kernel/simd_avx512.inl"

constexpr int kPairRows = 4, kPairPanels = 3;
#include "kernel/bf16_steps_dot.inl"
// What it defines.
#include "kernel/bf16_product.inl"
}  // namespace

constinit const Bf16Loops kBf16LoopsAvx512Bf16 = MakeBf16Loops();
bool Avx512Bf16IsTwoLinks() { return DotIsTwoLinks(); }

}  // namespace darkhorse
