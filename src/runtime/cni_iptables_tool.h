// SPDX-License-Identifier: Apache-2.0
// Running iptables-save(8) and iptables-restore(8) of either family. Internal to CniDefaultNetwork.
// Free functions; calls block; any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/cni_iptables.h"

namespace berth::runtime {

enum class IpFamily { kV4 = 0, kV6 = 1 };

// NotFound when the program is not installed.
Result<IptablesRules> SaveIptables(IpFamily family);

// Removes what RemovalScript names and, with `shared`, then the empty tables that are not in
// `before`. A host without iptables has nothing to remove: success.
Result<> RemoveFromIptables(IpFamily family, std::string_view network,
                            std::string_view container_id, bool shared,
                            const std::set<std::string>& before);

}  // namespace berth::runtime
