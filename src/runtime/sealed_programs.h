// SPDX-License-Identifier: Apache-2.0
// The OCI runtimes' programs as sealed copies, which crun and runc would make of themselves at each call (half of the time that
// a call takes); docs/decisions/0020-sealed-runtimes.md. Owned by MonitorRuntime; any thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/guarded.h"
#include "os/sealed_program.h"

namespace berth::runtime {

class SealedPrograms {
 public:
  // The copy of what is at `path` now, made at the first call and whenever the file is another one; null when there can be
  // none, and the program is to be run by its path.
  std::shared_ptr<const os::SealedProgram> Of(const std::string& path);
  // The last copy, when there is nothing at `path` any more: what was made with it can still be ended. Null: none.
  std::shared_ptr<const os::SealedProgram> OfMissing(const std::string& path);

 private:
  Guarded<std::map<std::string, std::shared_ptr<const os::SealedProgram>>> copies_;
};

}  // namespace berth::runtime
