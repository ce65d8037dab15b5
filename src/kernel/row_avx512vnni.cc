// Integer products of the avx512 row where the CPU has VNNI. Only plain loops here: a weak symbol
// compiled with this file's flags could replace the one that every CPU runs.
// GCC 12 reports the deliberately undefined operands inside <avx512fintrin.h> (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "kernel/ggml_blocks.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/simd_avx512.inl"

constexpr int kQuantRows = 6, kQuantSums = 12;
#include "kernel/int_avx512.inl"
#include "kernel/quant_product.inl"
#include "kernel/quant_rows.inl"
// What the above define.
#include "kernel/block_bytes.inl"
#include "kernel/block_product.inl"
}  // namespace

constinit const QuantLoops kQuantLoopsAvx512Vnni = {
    QuantizeRows, QuantProduct<false>, QuantProduct<true>, MakeAllBlockLoops<BlockProducts>(),
    QuantProbe,   kProbeWidth,         "avx512 vnni"};

}  // namespace darkhorse
