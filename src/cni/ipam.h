// SPDX-License-Identifier: Apache-2.0
// IPAM delegation: what "ipam.type" names is called with the whole configuration. host-local is done in this process when it
// is this program's own, anything else is run from CNI_PATH. Free functions; one thread; calls block.
#pragma once

#include "base/result.h"
#include "cni/request.h"
#include "cni/result.h"

namespace berth::cni {

Result<Outcome> IpamAdd(const Request& request);
// DEL, CHECK, STATUS or GC: Request::command says which; `as` in its place where it is not the caller's own.
Result<> IpamCall(const Request& request, std::string_view as = {});

}  // namespace berth::cni
