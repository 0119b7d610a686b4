// SPDX-License-Identifier: Apache-2.0
#include "os/testing/private_mounts.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"

namespace berth::os {

std::string InPrivateMounts(const std::function<void()>& work) {
  if (::geteuid() != 0) return "mounting needs root";
  std::string why;
  std::thread([&] {
    if (::unshare(CLONE_FS | CLONE_NEWNS) < 0)
      why = ErrnoError("unshare mounts").message();
    else if (::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
      why = ErrnoError("make mounts private").message();
    else
      work();
  }).join();
  return why;
}

}  // namespace berth::os
