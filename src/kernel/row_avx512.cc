// The avx512 row of the kernel table. Only plain loops here: a weak symbol compiled with this
// file's flags could replace the one that every CPU runs.
// GCC 12 reports the deliberately undefined operands inside <avx512fintrin.h> (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "kernel/ggml_blocks.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/simd_avx512.inl"

constexpr int kTileRows = 6, kTileVectors = 24, kMaxPanels = 8;
#include "kernel/bf16_round_avx512.inl"
#include "kernel/bf16_tiles_avx512.inl"
#include "kernel/gemm.inl"
#include "kernel/ops.inl"
constexpr int kPairRows = 6, kPairPanels = 2;
#include "kernel/bf16_steps_fma.inl"
// What it defines.
#include "kernel/bf16_product.inl"
constexpr int kQuantRows = 6, kQuantSums = 12;
#include "kernel/int_avx512.inl"
#include "kernel/quant_product.inl"
#include "kernel/quant_rows.inl"
// What the above define.
#include "kernel/block_bytes.inl"
#include "kernel/block_product.inl"
}  // namespace

constinit const KernelRow kRowAvx512 = {
    "avx512",
    MakeGemmLoops(),
    MakeOpsLoops(),
    MakeBf16Loops(),
    {QuantizeRows, QuantProduct<false>, QuantProduct<true>, MakeAllBlockLoops<BlockProducts>(),
     QuantProbe, kProbeWidth, "avx512"}};

}  // namespace darkhorse
