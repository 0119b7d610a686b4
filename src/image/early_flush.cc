// SPDX-License-Identifier: Apache-2.0
#include "image/early_flush.h"

#include <unistd.h>

#include <chrono>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"

namespace berth::image {

EarlyFlush::EarlyFlush(int dir, std::mutex& turn, std::function<uint64_t()> received)
    : dir_(dir), turn_(turn), received_(std::move(received)) {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::exception& e) {
    LogDebug(StrCat("early writeback: ", e.what()));
  }
}

EarlyFlush::~EarlyFlush() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void EarlyFlush::Run() {
  constexpr auto kPeriod = std::chrono::milliseconds(100);
  uint64_t flushed = 0;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kPeriod, [this] { return over_; })) {
    const uint64_t received = received_();
    if (received < flushed + kStep || !turn_.try_lock()) continue;
    lock.unlock();
    // An error shows again at the sync that counts, when the layers are published.
    (void)::syncfs(dir_);
    turn_.unlock();
    flushed = received;
    lock.lock();
  }
}

}  // namespace berth::image
