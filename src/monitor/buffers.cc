// SPDX-License-Identifier: Apache-2.0
#include "monitor/buffers.h"

#include <sys/mman.h>

namespace berth::monitor {

namespace {
alignas(4096) char read_buffer[kReadBufferBytes];
alignas(4096) char out_buffer[kOutBufferBytes];
}  // namespace

char* ReadBuffer() { return read_buffer; }
char* OutBuffer() { return out_buffer; }

void ReleaseBuffers() {
  ::madvise(read_buffer, sizeof read_buffer, MADV_DONTNEED);
  ::madvise(out_buffer, sizeof out_buffer, MADV_DONTNEED);
}

Pages::Pages(size_t bytes) : bytes_(bytes) {
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) data_ = static_cast<char*>(p);
}

Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

void Pages::Release() const {
  if (data_ != nullptr) ::madvise(data_, bytes_, MADV_DONTNEED);
}

}  // namespace berth::monitor
