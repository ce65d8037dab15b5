// The table of compute loops, one row per instruction set, all rows equal to the bit. A loop here
// is single-threaded and works on a range; gemm.h, ops.h and attention.h wrap the table with
// threads, and are what the layers call.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/bf16_loops.h"
#include "kernel/gemm_loops.h"
#include "kernel/ops_loops.h"
#include "kernel/quant_loops.h"

namespace darkhorse {

struct KernelRow {
  const char* name;  // "scalar", "avx2", "avx512", "avx512bf16", "amx"
  GemmLoops gemm;
  OpsLoops ops;
  Bf16Loops bf16;
  QuantLoops quant;
};

// The rows themselves. Only kernels.cc names them: a row may hold instructions that this CPU lacks.
extern const KernelRow kRowScalar, kRowAvx2, kRowAvx512;
// Of rows that are the avx512 one otherwise.
extern const Bf16Loops kBf16LoopsAvx512Bf16, kBf16LoopsAmx;
// Whether this CPU's AVX512_BF16 multiplies as kBf16LoopsAvx512Bf16 takes it to, where denormals
// are flushed. Bits must not depend on what manuals leave open.
bool Avx512Bf16IsTwoLinks();
extern const QuantLoops kQuantLoopsAvx2Vnni, kQuantLoopsAvx512Vnni, kQuantLoopsAmx;

// The row in use: the best this CPU runs, or what DARKHORSE_ISA names (an unknown or unsupported
// name is a UsageError).
const KernelRow& Kernels();

// Every row this CPU can run, scalar first. For differential tests.
std::span<const KernelRow* const> SupportedKernels();

// All loops for integers that this CPU can run, scalar first: those of its rows, and those that a
// row passes over for better ones. For differential tests.
std::span<const QuantLoops* const> SupportedQuantLoops();

// Makes Kernels() return that row from now on. For tests; not while other threads compute.
void SelectKernels(const KernelRow& row);

}  // namespace darkhorse
