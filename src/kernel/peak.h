// What this machine can do at most, measured: the denominators of every efficiency we report.
#pragma once

#include <cstdint>

#include "kernel/weight.h"

namespace darkhorse {

// The bits that products see of a weight of an integer format: 4, 5, 6 or 8 (IQ4_NL stands for
// bytes). Instruction sets without sums of four bytes multiply fewer bits faster.
int MultipliedBits(Format format);

// Multiply-adds of f32, of bf16 with f32 sums, or of bytes in vector registers, from registers with
// the instruction set of Kernels(), on `threads` threads, in GFLOP/s (a multiply-add counts 2). The
// best of several short trials, a few tens of milliseconds in all.
double MeasurePeakGflops(int threads, Format format = Format::kF32);

// Reading so many bytes over and over, on `threads` threads, in GB/s (1e9 bytes): of memory where
// they are far more than the caches hold, as they are by default (16 MiB for each of eight parts a
// thread has, which more bytes do not exceed), else of the caches. The best of several trials.
double MeasureBandwidthGBs(int threads, int64_t bytes = INT64_MAX);

}  // namespace darkhorse
