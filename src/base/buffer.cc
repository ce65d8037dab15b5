#include "base/buffer.h"

#include <sys/mman.h>

#include "base/error.h"

namespace darkhorse {
namespace {

size_t Bytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

}  // namespace

FloatBuffer::FloatBuffer(int64_t count, bool sparse) {
  CHECK(count >= 0);
  if (count == 0) return;
  void* data = mmap(nullptr, Bytes(count), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | (sparse ? MAP_NORESERVE : 0), -1, 0);
  if (data == MAP_FAILED) {
    Fail("out of memory: {} MiB more were needed; use a smaller model, micro-batch or context",
         Bytes(count) >> 20);
  }
  // A wish: it may be refused.
  madvise(data, Bytes(count), sparse ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  data_ = {static_cast<float*>(data), Unmap{count}};
}

FloatBuffer FloatBuffer::Sparse(int64_t count) { return {count, /*sparse=*/true}; }

void FloatBuffer::Unmap::operator()(float* data) const { munmap(data, Bytes(count)); }

}  // namespace darkhorse
