// SPDX-License-Identifier: Apache-2.0
// Threads for what must go on after the client has gone (a stop's grace period). Owned by the
// engine; any thread. The destructor waits for all of them: whoever owns it has told them to end.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <thread>

#include "base/guarded.h"
#include "base/result.h"

namespace berth::pod {

class Workers {
 public:
  Workers() = default;
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() { Join(); }

  // ResourceExhausted when there is no thread to be had.
  Result<> Start(std::function<void()> work);
  void Join();

 private:
  struct Worker {
    std::atomic<bool> done{false};
    std::thread thread;
  };
  Guarded<std::list<std::unique_ptr<Worker>>> workers_;
};

// Runs both at the same time and returns when both have ended. `beside` may wait for something that
// `here` does, not the other way round.
void RunBoth(const std::function<void()>& here, const std::function<void()>& beside);

}  // namespace berth::pod
