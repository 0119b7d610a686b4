// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <time.h>

namespace berth {

namespace {
int64_t Read(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}
}  // namespace

int64_t SystemClock::WallNanos() const {
  int64_t now = Read(CLOCK_REALTIME);
  return now < 0 ? 0 : now;
}
std::chrono::nanoseconds SystemClock::Monotonic() const {
  return std::chrono::nanoseconds(Read(CLOCK_BOOTTIME));
}

}  // namespace berth
