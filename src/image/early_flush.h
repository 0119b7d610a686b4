// SPDX-License-Identifier: Apache-2.0
// Makes the disk work while layers are still being unpacked, so that little is left to be written
// when an image is published. Owned by one pull, for as long as its layers come; has a thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace berth::image {

class EarlyFlush {
 public:
  // `received` says how many bytes have come so far; each `kStep` of them lead to one syncfs(2) of
  // the file system of `dir`, which must outlive this. `turn` is shared by all pulls of a store: one
  // of them writes, the others go on. Without a thread (ResourceExhausted) nothing is written early.
  EarlyFlush(int dir, std::mutex& turn, std::function<uint64_t()> received);
  ~EarlyFlush();
  EarlyFlush(const EarlyFlush&) = delete;
  EarlyFlush& operator=(const EarlyFlush&) = delete;

 private:
  static constexpr uint64_t kStep = 8U << 20;
  void Run();

  const int dir_;
  std::mutex& turn_;
  const std::function<uint64_t()> received_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace berth::image
