// SPDX-License-Identifier: Apache-2.0
// The monitor's two big buffers, shared by every stream of the pod: it has one thread and keeps
// nothing in them between two events. They cost memory only after use; ReleaseBuffers gives their
// pages back once the pod is quiet.
#pragma once

#include <cstddef>

namespace berth::monitor {

inline constexpr size_t kReadBufferBytes = 256U << 10;
inline constexpr size_t kOutBufferBytes = 256U << 10;

char* ReadBuffer();  // what read(2) fills
char* OutBuffer();   // log records on their way to write(2)
void ReleaseBuffers();

// Anonymous pages that cost nothing until they are touched. Owned by one stream.
class Pages {
 public:
  Pages() = default;
  explicit Pages(size_t bytes);  // data() is null when there is no memory
  Pages(Pages&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
    other.data_ = nullptr;
  }
  Pages& operator=(Pages&&) = delete;
  ~Pages();
  char* data() const { return data_; }
  void Release() const;  // the contents become zero and cost nothing again

 private:
  char* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace berth::monitor
