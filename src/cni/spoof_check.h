// SPDX-License-Identifier: Apache-2.0
// The bridge plugin's macspoofchk: what comes from a pod's port with another source address than the pod's is dropped.
// Free functions on the calling thread's network namespace.
//
//   table bridge berth_cni, chain prerouting (pod_rules.h)
//     iifname "veth..." ether saddr != <pod's> drop
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/request.h"

namespace berth::cni {

Result<> AddSpoofCheck(std::string_view network, const Attachment& attachment,
                       const std::string& port, std::string_view mac);
Result<bool> HasSpoofCheck(std::string_view network, const Attachment& attachment,
                           const std::string& port, std::string_view mac);
Result<> RemoveSpoofCheck(std::string_view network, const Attachment& attachment);
Result<> CollectSpoofChecks(std::string_view network, const std::vector<Attachment>& valid);

}  // namespace berth::cni
