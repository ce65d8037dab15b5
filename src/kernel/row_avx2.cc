// The avx2 row of the kernel table. Only plain loops here: a weak symbol compiled with this file's
// flags could replace the one that every CPU runs.
#include <immintrin.h>

#include "kernel/ggml_blocks.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/simd_avx2.inl"

constexpr int kTileRows = 6, kTileVectors = 6, kMaxPanels = 4;
#include "kernel/bf16_tiles_scalar.inl"
#include "kernel/gemm.inl"
#include "kernel/ops.inl"
constexpr int kPairRows = 3, kPairPanels = 1;
#include "kernel/bf16_steps_fma.inl"
// What it defines.
#include "kernel/bf16_product.inl"
constexpr int kQuantRows = 4, kQuantSums = 4;
#include "kernel/int_avx2.inl"
#include "kernel/quant_product.inl"
#include "kernel/quant_rows.inl"
// What the above define.
#include "kernel/block_bytes.inl"
#include "kernel/block_product.inl"
}  // namespace

constinit const KernelRow kRowAvx2 = {
    "avx2",
    MakeGemmLoops(),
    MakeOpsLoops(),
    MakeBf16Loops(),
    {QuantizeRows, QuantProduct<false>, QuantProduct<true>, MakeAllBlockLoops<BlockProducts>(),
     QuantProbe, kProbeWidth, "avx2"}};

}  // namespace darkhorse
