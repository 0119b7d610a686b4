// SPDX-License-Identifier: Apache-2.0
// How far one pull is, for whoever asks while it runs and for the log at its end. Owned by the
// pull; any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "image/fetcher.h"

namespace berth::image {

class PullProgress {
 public:
  std::atomic<size_t> layers = 0;
  std::atomic<size_t> layers_done = 0;
  std::atomic<uint64_t> total_bytes = 0;  // of the layers that are not there already

  // Received bytes come from the session while this object lives, and stay as they were afterwards.
  class Following {
   public:
    Following(PullProgress& progress, const FetchSession& session) : progress_(progress) {
      const std::lock_guard lock(progress_.mutex_);
      progress_.session_ = &session;
    }
    ~Following() {
      const std::lock_guard lock(progress_.mutex_);
      progress_.last_ = progress_.session_->received();
      progress_.session_ = nullptr;
    }
    Following(const Following&) = delete;
    Following& operator=(const Following&) = delete;

   private:
    PullProgress& progress_;
  };
  uint64_t received() const {
    const std::lock_guard lock(mutex_);
    return session_ != nullptr ? session_->received() : last_;
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

 private:
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  mutable std::mutex mutex_;
  const FetchSession* session_ = nullptr;
  uint64_t last_ = 0;
};

}  // namespace berth::image
