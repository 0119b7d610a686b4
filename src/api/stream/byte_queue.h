// SPDX-License-Identifier: Apache-2.0
// Bytes that wait to be written: appended at one end, taken off at the other, without a move per write. A value; one
// thread. Whoever appends keeps the bound: see the limits in channels.h.
#pragma once

#include <string>
#include <string_view>

namespace berth::stream {

class ByteQueue {
 public:
  void Append(std::string_view bytes) { bytes_ += bytes; }
  std::string_view View() const { return std::string_view(bytes_).substr(begin_); }
  size_t size() const { return bytes_.size() - begin_; }
  bool empty() const { return size() == 0; }
  void Consume(size_t n) {
    begin_ += n;
    if (begin_ == bytes_.size()) {
      // An idle session keeps no large buffer.
      if (bytes_.capacity() > kKeep)
        std::string().swap(bytes_);
      else
        bytes_.clear();
      begin_ = 0;
    } else if (begin_ >= kKeep) {
      bytes_.erase(0, begin_);
      begin_ = 0;
    }
  }
  void Clear() { Consume(size()); }

 private:
  static constexpr size_t kKeep = 32U << 10;
  std::string bytes_;
  size_t begin_ = 0;
};

}  // namespace berth::stream
