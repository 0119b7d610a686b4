// SPDX-License-Identifier: Apache-2.0
// What a test leaves behind: open fds, mounts, children, pinned network namespaces, cgroup
// directories. Owned by a test or fixture, made first and asked last: EXPECT_EQ(leaks.Diff(), "").
// One thread.
#pragma once

#include <set>
#include <string>

namespace berth::os {

class LeakCheck {
 public:
  struct Scope {
    std::string netns_dir;    // e.g. /run/netns; empty or not there: none are looked for
    std::string cgroup_root;  // e.g. /sys/fs/cgroup; empty or not there: none are looked for
    // Only groups with this in their path: other programs, and other tests, make and remove their own at any time.
    std::string cgroup_name;
  };

  // Records what is there now.
  LeakCheck();
  explicit LeakCheck(Scope scope);

  // What is there now and was not ("+ fd 7 pipe:[123]"), and what is gone ("- mount /x tmpfs"), a
  // line each; empty when all is as it was. What could not be looked at is a line too.
  std::string Diff() const;

 private:
  using Lines = std::multiset<std::string>;
  Lines Look() const;
  Scope scope_;
  Lines before_;
};

}  // namespace berth::os
