// SPDX-License-Identifier: Apache-2.0
// Whether the kernel's out-of-memory killer took a process of a container: memory.events (cgroup
// v2) or memory.oom_control (v1). A watch is owned by its Container, the ledger by the Monitor;
// monitor thread. Where there is no memory cgroup it says no.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/loop.h"
#include "os/fd.h"

namespace berth::monitor {

class OomWatch;

// systemd removes a scope's group as soon as its last process has ended, perhaps before anybody has
// read its counters. The kernel counts each kill in all groups above too (memory.events of the
// kernel's cgroup-v2.rst), and the slice stays:
//
//   kubepods-pod1.slice     oom_kill 5   <- outer
//     berth-a.scope         oom_kill 2   <- explains 2 of them
//     berth-b.scope         gone         <- the other 3 are its own
//
// A kill elsewhere below the slice that falls between two looks can be taken for a container's
// whose group is gone; the slice of a pod holds nothing but its containers.
class OomLedger {
 public:
  OomLedger() = default;
  OomLedger(const OomLedger&) = delete;
  OomLedger& operator=(const OomLedger&) = delete;

  // `outer` is the counters' file above the watch's group. One for the whole pod: that of the first.
  void Add(OomWatch* watch, const std::string& outer);
  void Remove(OomWatch* watch);
  void Explain(int64_t kills) { explained_ += kills; }
  // The group of `watch` is gone: whether a kill above it is left that no other group explains. It
  // is then explained.
  bool Claim(OomWatch* watch);

 private:
  struct Sum {
    int64_t unexplained = 0;
    int gone = 0;  // watches whose group is
  };
  Sum Take();

  std::string path_;
  os::Fd outer_;
  int64_t explained_ = 0;  // of what outer_ says
  std::vector<OomWatch*> watches_;
};

class OomWatch {
 public:
  OomWatch() = default;
  OomWatch(const OomWatch&) = delete;
  OomWatch& operator=(const OomWatch&) = delete;
  ~OomWatch() { Close(); }

  // The group that holds the container's init: `groups` is its /proc/<pid>/cgroup. `root` is
  // /sys/fs/cgroup. The ledger outlives the watch.
  Result<> Open(Loop* loop, const std::string& root,
                const std::map<std::string, std::string>& groups, OomLedger* ledger);
  // Open without being told of events: only Killed looks.
  Result<> OpenCounters(const std::string& root, const std::map<std::string, std::string>& groups,
                        OomLedger* ledger);
  // The init has ended: looks once more, unless an event has said it already. When the group is
  // gone and the init was ended by SIGKILL, the ledger is asked.
  bool Killed(bool by_sigkill);
  void Close();

  bool Look();  // false: the group is gone

 private:
  os::Fd counters_;
  Watch event_;
  OomLedger* ledger_ = nullptr;
  int64_t kills_ = 0;
  bool is_v1_ = false;
  os::Fd v1_event_;
};

// The value behind "oom_kill " in either file; 0 when there is none.
int64_t OomKills(std::string_view text);

// The group above the systemd scope that `group` is or lies in ("/a.slice/b.scope/c": "/a.slice");
// empty when it is in none.
std::string AboveScope(std::string_view group);

}  // namespace berth::monitor
