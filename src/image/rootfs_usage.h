// SPDX-License-Identifier: Apache-2.0
// What containers' own files take, measured by whoever asks and then kept for a while. Owned by ImageStore; any
// thread.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "image/images.h"
#include "os/dir_fd.h"

namespace berth::image {

// Walking a tree costs time with its size, and nobody walks in the background. A container's tree is walked
// again when somebody asks, 10 s after the last time at the earliest, and so that a large one takes at most a
// fiftieth of the time; one list walks for 50 ms (and at least one tree), the longest overdue first.
class RootfsUsageMeter {
 public:
  static constexpr std::chrono::seconds kInterval{10};
  static constexpr int kShare = 50;
  static constexpr std::chrono::milliseconds kBudget{50};
  static constexpr uint64_t kMaxInodes = 5'000'000;

  // `containers` holds <container id>/diff; both outlive the meter.
  RootfsUsageMeter(const os::DirFd& containers, const Clock& clock)
      : containers_(containers), clock_(clock) {}

  // By container id; one that was never measured, or that cannot be, is left out.
  std::map<std::string, RootfsUsage> Read(const std::vector<std::string>& ids);
  void Forget(const std::string& id);

 private:
  struct Entry {
    std::optional<RootfsUsage> last;
    bool measured = false;  // tried, perhaps without success
    bool running = false;   // a thread walks it now
    std::chrono::nanoseconds due{0};
  };
  using Entries = std::map<std::string, Entry>;
  std::vector<std::string> TakeDue(const std::vector<std::string>& ids);
  void Measure(const std::string& id);

  const os::DirFd& containers_;
  const Clock& clock_;
  Guarded<Entries> entries_;
};

}  // namespace berth::image
