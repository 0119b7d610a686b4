// SPDX-License-Identifier: Apache-2.0
#include "runtime/scope_group.h"

#include "base/strings.h"
#include "runtime/host.h"

namespace berth::runtime {

Result<std::string> GroupInScope(const os::Cgroups& cgroups, const std::string& path) {
  if (!path.ends_with(".scope")) return path;
  std::string inside = StrCat(path, "/", kScopeSubgroup);
  return TRY(cgroups.Exists(inside)) ? inside : path;
}

}  // namespace berth::runtime
