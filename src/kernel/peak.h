// What this machine can do at most, measured: the denominators of every efficiency we report.
#pragma once

namespace darkhorse {

// f32 multiply-adds from registers with the instruction set of Kernels(), on `threads` threads, in
// GFLOP/s (a multiply-add counts 2). The best of several short trials, a few tens of milliseconds
// in all.
double MeasurePeakGflops(int threads);

// Reading memory far larger than the caches, on `threads` threads, in GB/s (1e9 bytes). The best of
// several trials.
double MeasureBandwidthGBs(int threads);

}  // namespace darkhorse
