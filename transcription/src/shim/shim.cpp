// The few calls of libtorch that `tch` does not have. Each answers 0 when it was done and 1 when it could not be: no exception may
// cross into Rust. Nothing of CUDA is linked; whatever backend was opened at run time is asked through libtorch's own tables.

#include <cstdint>

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <c10/core/CachingDeviceAllocator.h>

namespace {

template <typename Work>
int answered(Work work) noexcept {
  try {
    work();
    return 0;
  } catch (...) {
    return 1;
  }
}

c10::DeviceType kind(int on_gpu) {
  return on_gpu != 0 ? c10::DeviceType::CUDA : c10::DeviceType::CPU;
}

}  // namespace

extern "C" {

// What is free on the GPU, and what libtorch holds there without using it.
int wtt_free_memory(int index, uint64_t* free_bytes, uint64_t* cached_bytes) noexcept {
  return answered([&] {
    const auto device = static_cast<c10::DeviceIndex>(index);
    auto* allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    *free_bytes = allocator->getMemoryInfo(device).first;
    *cached_bytes = 0;
    if (allocator->initialized()) {
      const auto stats = allocator->getDeviceStats(device);
      const auto unused = stats.reserved_bytes[0].current - stats.allocated_bytes[0].current;
      *cached_bytes = unused > 0 ? static_cast<uint64_t>(unused) : 0;
    }
  });
}

// Gives what libtorch holds on the GPU without using it back to the driver.
int wtt_empty_cache() noexcept {
  return answered([] { c10::getDeviceAllocator(c10::DeviceType::CUDA)->emptyCache(); });
}

// Whether float32 products on a GPU may be made of 10 bits of the fraction; for the whole process.
int wtt_allow_tf32(int allow) noexcept {
  return answered([&] {
    at::globalContext().setAllowTF32CuBLAS(allow != 0);
    at::globalContext().setAllowTF32CuDNN(allow != 0);
  });
}

int wtt_tf32_allowed(int* allowed) noexcept {
  return answered([&] {
    *allowed = at::globalContext().allowTF32CuBLAS() || at::globalContext().allowTF32CuDNN() ? 1 : 0;
  });
}

// Layers of this thread in bfloat16, from here on or no more; tells how it was before.
int wtt_autocast_bf16(int on_gpu, int enabled, int* before) noexcept {
  return answered([&] {
    *before = at::autocast::is_autocast_enabled(kind(on_gpu)) ? 1 : 0;
    at::autocast::set_autocast_dtype(kind(on_gpu), at::kBFloat16);
    at::autocast::set_autocast_enabled(kind(on_gpu), enabled != 0);
    if (enabled == 0) {
      at::autocast::clear_cache();
    }
  });
}

}  // extern "C"
