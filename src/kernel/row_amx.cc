// The amx row of the kernel table: bf16 and integer products on Intel's matrix units (AMX-BF16,
// AMX-INT8), all else as the avx512 row. Only plain loops here: a weak symbol compiled with this
// file's flags could replace the one that every CPU runs. GCC 12 reports the deliberately undefined
// operands inside <avx512fintrin.h> (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstdint>

#include "kernel/ggml_blocks.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {
#include "kernel/bf16_round_avx512bf16.inl"
#include "kernel/bf16_tiles_avx512.inl"
#include "kernel/simd_avx512.inl"

constexpr int64_t kTileStride = 64;  // bytes from one row of a tile to the next
#include "kernel/amx_bf16.inl"

constexpr int kQuantRows = 6, kQuantSums = 12;
#include "kernel/int_avx512.inl"
#include "kernel/quant_product.inl"
#include "kernel/quant_rows.inl"
// What the above define.
#include "kernel/amx_int8.inl"
#include "kernel/block_bytes.inl"
#include "kernel/block_product.inl"
// What it defines.
#include "kernel/amx_blocks.inl"
}  // namespace

constinit const Bf16Loops kBf16LoopsAmx = {
    Pack, ConfigureTiles, ReleaseTiles, AmxProduct, AmxProbe, 4 * 16 * 16 * 32, 32};
constinit const QuantLoops kQuantLoopsAmx = {QuantizeRows,
                                             AmxQuantProduct<false>,
                                             AmxQuantProduct<true>,
                                             MakeAllBlockLoops<AmxBlockProducts>(),
                                             QuantProbe,
                                             kProbeWidth,
                                             "amx"};

}  // namespace darkhorse
