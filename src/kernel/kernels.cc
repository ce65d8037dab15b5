#include "kernel/kernels.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/denormals.h"

namespace darkhorse {
namespace {

// Whether this process may use the matrix unit. Linux gives the 8 KiB of its registers only to
// processes that ask (arch_prctl(2), since 5.16).
enum class Amx { kAbsent, kRefused, kReady };

Amx AskForAmx() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16") ||
      !__builtin_cpu_supports("amx-int8") || !__builtin_cpu_supports("avx512bf16") ||
      !__builtin_cpu_supports("avx512vnni")) {
    return Amx::kAbsent;
  }
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? Amx::kReady : Amx::kRefused;
}

Amx AmxHere() {
  static const Amx state = AskForAmx();
  return state;
}

bool HasAvx512Vnni() { return __builtin_cpu_supports("avx512vnni"); }

bool HasAvx512Bf16() {
  if (!__builtin_cpu_supports("avx512bf16")) return false;
  const FlushDenormals flush;
  return Avx512Bf16IsTwoLinks();
}

// GCC 12 cannot be asked.
bool HasAvxVnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

// Where the CPU has VNNI, rows multiply integers with it.
const KernelRow& RowAvx2() {
  static const KernelRow row = {"avx2", kRowAvx2.gemm, kRowAvx2.ops, kRowAvx2.bf16,
                                HasAvxVnni() ? kQuantLoopsAvx2Vnni : kRowAvx2.quant};
  return row;
}
const KernelRow& RowAvx512() {
  static const KernelRow row = {"avx512", kRowAvx512.gemm, kRowAvx512.ops, kRowAvx512.bf16,
                                HasAvx512Vnni() ? kQuantLoopsAvx512Vnni : kRowAvx512.quant};
  return row;
}
const KernelRow& RowAvx512Bf16() {
  static const KernelRow row = {"avx512bf16", kRowAvx512.gemm, kRowAvx512.ops, kBf16LoopsAvx512Bf16,
                                RowAvx512().quant};
  return row;
}
const KernelRow& RowAmx() {
  static const KernelRow row = {"amx", kRowAvx512.gemm, kRowAvx512.ops, kBf16LoopsAmx,
                                kQuantLoopsAmx};
  return row;
}

std::vector<const KernelRow*> FindSupported() {
  std::vector<const KernelRow*> rows = {&kRowScalar};
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (avx2) rows.push_back(&RowAvx2());
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    rows.push_back(&RowAvx512());
    if (HasAvx512Bf16()) rows.push_back(&RowAvx512Bf16());
    if (AmxHere() == Amx::kReady) rows.push_back(&RowAmx());
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
  if (std::string_view(wanted) == "amx" && AmxHere() == Amx::kRefused) {
    FailUsage(
        "DARKHORSE_ISA=amx: this CPU has matrix units, but the system does not let the process use "
        "them (Linux does from 5.16 on, outside some containers); choose one of {}",
        names);
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

std::span<const QuantLoops* const> SupportedQuantLoops() {
  static const std::vector<const QuantLoops*> all = [] {
    std::vector<const QuantLoops*> found;
    for (const KernelRow* row : SupportedKernels()) {
      if (row == &RowAvx2() && HasAvxVnni()) found.push_back(&kRowAvx2.quant);
      if (row == &RowAvx512() && HasAvx512Vnni()) found.push_back(&kRowAvx512.quant);
      found.push_back(&row->quant);
    }
    return found;
  }();
  return all;
}

const KernelRow& Kernels() {
  const KernelRow* selected = g_selected.load(std::memory_order_acquire);
  if (selected != nullptr) return *selected;
  static const KernelRow& chosen = Choose();
  return chosen;
}

void SelectKernels(const KernelRow& row) { g_selected.store(&row, std::memory_order_release); }

}  // namespace darkhorse
