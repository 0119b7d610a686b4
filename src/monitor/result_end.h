// SPDX-License-Identifier: Apache-2.0
// The monitor's end of a session's result socket: tells whoever carries the session how its process has ended, without
// the daemon. Owned by an exec session or a container; monitor thread.
//
//   Open --> open --Send--> closed
//              |               ^
//              +--- peer gone -+      never waits: the one packet fits, or nobody is there
#pragma once

#include <cstdint>

#include "base/result.h"
#include "monitor/loop.h"
#include "os/fd.h"

namespace berth::monitor {

class ResultEnd {
 public:
  Result<> Open(Loop* loop, os::Fd socket);
  bool open() const { return watch_.open(); }
  // One u32, little endian; then the socket is closed.
  void Send(uint32_t code);

 private:
  Watch watch_;
};

}  // namespace berth::monitor
