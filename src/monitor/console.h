// SPDX-License-Identifier: Apache-2.0
// The --console-socket of one OCI runtime call: a socket in calls/ over which the runtime sends the
// terminal's master (runc, docs/terminals.md). Owned by whoever makes the call; monitor thread. The
// socket's file ends with the object.
#pragma once

#include <string>

#include "base/result.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::monitor {

class Console {
 public:
  Console() = default;
  Console(Console&&) = delete;
  ~Console() { Close(); }

  Result<> Listen(const os::DirFd* calls, std::string name);
  // For the command line: through /proc, so that the length of the run directory's path does not
  // matter.
  std::string Path() const;
  bool listening() const { return listener_.valid(); }
  // After the call has succeeded: the master has been sent by then. FailedPrecondition if it was
  // not.
  Result<os::Fd> TakeMaster();
  void Close();

 private:
  const os::DirFd* calls_ = nullptr;
  std::string name_;
  os::Fd listener_;
};

}  // namespace berth::monitor
