// Integer products of the avx2 row where the CPU has AVX-VNNI. Only plain loops here: a weak symbol
// compiled with this file's flags could replace the one that every CPU runs.
#include <immintrin.h>

#include "kernel/ggml_blocks.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/simd_avx2.inl"

constexpr int kQuantRows = 4, kQuantSums = 4;
#include "kernel/int_avx2.inl"
#include "kernel/quant_product.inl"
#include "kernel/quant_rows.inl"
// What the above define.
#include "kernel/block_bytes.inl"
#include "kernel/block_product.inl"
}  // namespace

constinit const QuantLoops kQuantLoopsAvx2Vnni = {
    QuantizeRows, QuantProduct<false>, QuantProduct<true>, MakeAllBlockLoops<BlockProducts>(),
    QuantProbe,   kProbeWidth,         "avx2 vnni"};

}  // namespace darkhorse
