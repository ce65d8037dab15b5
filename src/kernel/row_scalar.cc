// The scalar row of the kernel table. Only plain loops here: a weak symbol compiled with this
// file's flags could replace the one that every CPU runs.
#include "kernel/ggml_blocks.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/simd_scalar.inl"

constexpr int kTileRows = 4, kTileVectors = 4, kMaxPanels = 2;
#include "kernel/bf16_tiles_scalar.inl"
#include "kernel/gemm.inl"
#include "kernel/ops.inl"
constexpr int kPairRows = 2, kPairPanels = 1;
#include "kernel/bf16_steps_fma.inl"
// What it defines.
#include "kernel/bf16_product.inl"
constexpr int kQuantRows = 2, kQuantSums = 2;
#include "kernel/int_scalar.inl"
#include "kernel/quant_product.inl"
#include "kernel/quant_rows.inl"
// What the above define.
#include "kernel/block_bytes.inl"
#include "kernel/block_product.inl"
}  // namespace

constinit const KernelRow kRowScalar = {
    "scalar",
    MakeGemmLoops(),
    MakeOpsLoops(),
    MakeBf16Loops(),
    {QuantizeRows, QuantProduct<false>, QuantProduct<true>, MakeAllBlockLoops<BlockProducts>(),
     QuantProbe, kProbeWidth, "scalar"}};

}  // namespace darkhorse
