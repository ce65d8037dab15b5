#include "kernel/kernels.h"

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace darkhorse {
namespace {

std::vector<const KernelTable*> FindSupported() {
  std::vector<const KernelTable*> rows = {&kTableScalar};
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) rows.push_back(&kTableAvx2);
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    rows.push_back(&kTableAvx512);
  }
  return rows;
}

const KernelTable& Choose() {
  const auto rows = SupportedKernels();
  const char* wanted = std::getenv("DARKHORSE_ISA");
  if (wanted == nullptr || *wanted == '\0') return *rows.back();
  std::string names;
  for (const KernelTable* row : rows) {
    if (std::string_view(row->name) == wanted) return *row;
    names += names.empty() ? row->name : std::string(", ") + row->name;
  }
  FailUsage("DARKHORSE_ISA={}: no such instruction set on this CPU; choose one of {}", wanted,
            names);
}

std::atomic<const KernelTable*> g_selected{nullptr};

}  // namespace

std::span<const KernelTable* const> SupportedKernels() {
  static const std::vector<const KernelTable*> rows = FindSupported();
  return rows;
}

const KernelTable& Kernels() {
  const KernelTable* selected = g_selected.load(std::memory_order_acquire);
  if (selected != nullptr) return *selected;
  static const KernelTable& chosen = Choose();
  return chosen;
}

void SelectKernels(const KernelTable& table) {
  g_selected.store(&table, std::memory_order_release);
}

}  // namespace darkhorse
