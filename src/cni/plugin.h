// SPDX-License-Identifier: Apache-2.0
// The plugins that this program is, as functions. No state; one call at a time: they move the calling thread between network
// namespaces.
//
//   Add     gives the result; on an error what was made has been undone
//   Del     twice, without the namespace and without prevResult: success
//   Gc      Request::valid_attachments stay
//   an Error's code says the CNI code: ToFailure in request.h
#pragma once

#include <string_view>

#include "base/result.h"
#include "cni/request.h"
#include "cni/result.h"

namespace berth::cni {

struct Plugin {
  std::string_view name;
  Result<Outcome> (*add)(const Request&);
  Result<> (*del)(const Request&);
  Result<> (*check)(const Request&);
  Result<> (*status)(const Request&);
  Result<> (*gc)(const Request&);
};

// Null when there is none of that name.
const Plugin* FindPlugin(std::string_view name);

// One each, in its own file.
extern const Plugin kLoopback;
extern const Plugin kHostLocal;
extern const Plugin kBridge;
extern const Plugin kPortmap;
extern const Plugin kPtp;
extern const Plugin kBandwidth;
extern const Plugin kFirewall;
extern const Plugin kTuning;

}  // namespace berth::cni
