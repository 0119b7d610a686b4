// SPDX-License-Identifier: Apache-2.0
// Which OCI runtimes there really are: turns the configured handlers into absolute paths. Pure but
// for looking at the file system; main thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/config.h"
#include "runtime/oci_handlers.h"

namespace berth::daemon {

struct ResolvedHandlers {
  std::vector<runtime::OciHandler> handlers;
  std::string default_name;
};

// A handler that the operator named must be there (FailedPrecondition naming it); crun and runc,
// which are there without being named, may be missing, and the default is then the one that is not.
Result<ResolvedHandlers> ResolveHandlers(const Config& config);

}  // namespace berth::daemon
