// SPDX-License-Identifier: Apache-2.0
// Whether the kernel's out-of-memory killer took a process of a container: memory.events (cgroup
// v2) or memory.oom_control (v1). Owned by the Container; monitor thread. Where there is no memory
// cgroup it says no.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "monitor/loop.h"
#include "os/fd.h"

namespace berth::monitor {

class OomWatch {
 public:
  // The group that holds the container's init: `groups` is its /proc/<pid>/cgroup. `root` is
  // /sys/fs/cgroup.
  Result<> Open(Loop* loop, const std::string& root,
                const std::map<std::string, std::string>& groups);
  // Looks once more, unless an event has said it already: systemd may remove the group before we
  // look.
  bool Killed();
  void Close();

 private:
  bool Look();  // false: the group is gone

  os::Fd counters_;
  Watch event_;
  bool killed_ = false;
};

// The value behind "oom_kill " in either file; 0 when there is none.
int64_t OomKills(std::string_view text);

}  // namespace berth::monitor
