// SPDX-License-Identifier: Apache-2.0
// The configured OCI runtimes: which there are, which is the default, what their versions are
// worth. Made once at the start of the daemon and immutable; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/runtime.h"

namespace berth::runtime {

struct OciHandler {
  std::string name;               // of the RuntimeClass
  std::string path;               // absolute path of the binary
  std::vector<std::string> args;  // before the command, e.g. "--systemd-cgroup"
  std::string root;               // its --root, a directory of its own; absolute
  bool copies_itself =
      false;  // set by Make: crun or runc, which run from a sealed copy of themselves
};

class OciHandlers {
 public:
  // Runs `<path> --version` and `<path> features` of each, all at once. InvalidArgument: no handler, a name twice, an unknown default,
  // a relative path. A binary that cannot be run is kept with a warning: the others must go on
  // working.
  static Result<OciHandlers> Make(std::vector<OciHandler> handlers,
                                  const std::string& default_name);

  const std::vector<HandlerInfo>& infos() const { return infos_; }
  // At the start only: the node cannot, whatever the runtimes can.
  void ForbidUserNs();
  // "" is the default; NotFound otherwise.
  Result<const OciHandler*> Resolve(const std::string& name) const;

 private:
  void AskAll();

  std::vector<OciHandler> handlers_;
  std::vector<HandlerInfo> infos_;
};

// Why the version named in the first line of `--version` is not advised; empty if it is, or is none
// of those known. runc before 1.2.8, 1.3.3 and 1.4.0 (CVE-2025-31133, CVE-2025-52565,
// CVE-2025-52881); crun before 1.28.
std::string VersionWarning(std::string_view first_line);

// Does it know the mount option "rro"? From the first line of `--version` and what `features` says
// (empty: it has no such command).
bool CanRecursiveReadOnly(std::string_view first_line, std::string_view features);
// Does it join a user namespace by path? The mounts are shifted before it sees them.
bool CanUserNs(std::string_view first_line, std::string_view features);

}  // namespace berth::runtime
