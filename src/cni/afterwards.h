// SPDX-License-Identifier: Apache-2.0
// What the kernel does after a change is in force, while the process that asked for it has to wait: it lets every reader of the
// old state finish (RCU), 10 to 20 ms for an interface or a set of rules. A child of this process, which has one thread, does
// that waiting and ends 100 ms after this process; nothing depends on the child any more by then.
#pragma once

#include <functional>

#include "base/result.h"
#include "os/fd.h"

namespace berth::cni {

class Afterwards {
 public:
  // The child has none of the standard descriptors, runs `work` and then keeps what this process has open until this process
  // has ended: the last one to close a socket is the one that waits. A plugin that has made no child waits itself.
  static Result<Afterwards> Start(const std::function<Result<>()>& work);

  // False while `work` goes on; its error when it failed.
  Result<bool> Finished();
  // The child stays until this process ends, not until this object does.
  void Leave() { (void)alive_.Release(); }

 private:
  Afterwards(pid_t child, os::Fd outcome, os::Fd alive)
      : child_(child), outcome_(std::move(outcome)), alive_(std::move(alive)) {}
  pid_t child_;
  os::Fd outcome_;  // of the pipe by which the child says how `work` went
  os::Fd alive_;    // closed with this process: the child's sign to end
};

}  // namespace berth::cni
