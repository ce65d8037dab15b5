#include "kernel/kernels.h"

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace darkhorse {
namespace {

std::vector<const KernelRow*> FindSupported() {
  std::vector<const KernelRow*> rows = {&kRowScalar};
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) rows.push_back(&kRowAvx2);
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    rows.push_back(&kRowAvx512);
  }
  return rows;
}

const KernelRow& Choose() {
  const auto rows = SupportedKernels();
  const char* wanted = std::getenv("DARKHORSE_ISA");
  if (wanted == nullptr || *wanted == '\0') return *rows.back();
  std::string names;
  for (const KernelRow* row : rows) {
    if (std::string_view(row->name) == wanted) return *row;
    names += names.empty() ? row->name : std::string(", ") + row->name;
  }
  FailUsage("DARKHORSE_ISA={}: no such instruction set on this CPU; choose one of {}", wanted,
            names);
}

std::atomic<const KernelRow*> g_selected{nullptr};

}  // namespace

std::span<const KernelRow* const> SupportedKernels() {
  static const std::vector<const KernelRow*> rows = FindSupported();
  return rows;
}

const KernelRow& Kernels() {
  const KernelRow* selected = g_selected.load(std::memory_order_acquire);
  if (selected != nullptr) return *selected;
  static const KernelRow& chosen = Choose();
  return chosen;
}

void SelectKernels(const KernelRow& row) { g_selected.store(&row, std::memory_order_release); }

}  // namespace darkhorse
